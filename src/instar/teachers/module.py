"""A network as a teacher: a torch module, or the model of a run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from instar.compute.execution import Compiled, Execution, place
from instar.compute.inputs import Inputs, move_inputs
from instar.compute.packed import are_packed
from instar.compute.precision import autocast, use_matmul_library
from instar.compute.projected import Projected
from instar.content import Content
from instar.data.batch import Batch
from instar.data.opening import join_names
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.models.carried import Carried
from instar.models.copying import refuse_unhashable
from instar.models.failures import name_failure
from instar.models.hooks import keep_outputs
from instar.models.layer_gradients import replace_by_gradients, want_gradients
from instar.models.named_layers import Layers
from instar.models.normalised import Normalised, reader_in, reader_of, set_reader
from instar.models.outputs import Outputs, logits_of
from instar.models.packing_probe import refuse_mixed_texts
from instar.models.readers.as_is import AsIs
from instar.models.readers.notation import as_reader
from instar.models.readers.reader import Reader
from instar.targets.answer import Answer
from instar.targets.projected import ProjectedTargets
from instar.targets.targets import DenseTargets
from instar.teachers.teacher import Teacher

NamedTargets = TypeVar("NamedTargets", DenseTargets, ProjectedTargets)


class Module(Teacher):
    """v = network(x), in eval and inference mode.

    Args:
        network: network from inputs `[batch, ...]`, which `reader_of` prepares, to logits `[batch, classes]`, or to an
            output in which `logits_of` finds them. Several inputs are passed to it by keyword.
        classes: names of the classes, if they are known.
        reader: how the network reads inputs, such as `"Pixels(64, mean=[0.5], std=[0.25])"`, or which other column it
            reads, such as `"AsIs('depth')"`; None: inputs in the size of the data, or as a `Normalised` network does.

    >>> from instar.data import Loader, load_data
    >>> teacher = Module(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    >>> batch = Loader(load_data("digits").train, 8, seed=0).batch(0)
    >>> teacher.targets(batch).log_probs(4.0).shape
    torch.Size([8, 10])
    """

    def __init__(
        self, network: nn.Module, classes: tuple[str, ...] | None = None, reader: str | Reader | None = None
    ) -> None:
        refuse_unhashable(network)
        if reader is not None:
            network = set_reader(network, as_reader(reader))
        self.network, self.classes = network, classes
        self._reader = reader_in(network)
        self._to_network = reader_of(network)
        # until `prepare` says otherwise: where the network is, in plain arithmetic
        self._execution = Execution(next((p.device for p in network.parameters()), torch.device("cpu")), "float32")
        self._called: nn.Module | Compiled = network
        self._carried = Carried(network)
        self._keeps_texts_apart = False  # known from the first batch of packed texts on
        self._is_convolutional = any(isinstance(module, nn.Conv2d) for module in network.modules())

    def targets(self, batch: Batch) -> DenseTargets | ProjectedTargets:
        """Return the logits of the network; every layer keeps its mode (train or eval)."""
        return self._targets(self._call(batch, ()).logits)

    def layers(self) -> Layers | None:
        """Return the layers of the network; None for a subclass whose targets are not its logits."""
        return self._layers if type(self).targets is Module.targets else None

    @cached_property
    def _layers(self) -> Layers:
        return Layers.of(self.network, "the teacher")  # once, and not in every step

    def answer(self, batch: Batch, features: Sequence[str] = ()) -> Answer:
        """Return the logits of the network, and the outputs of some of its layers, `[batch, ...]`."""
        if not features or self.layers() is None:
            return super().answer(batch, features)
        outputs = self._call(batch, features)
        if want_gradients(features):
            found = dict(outputs.features)
            replace_by_gradients(found, outputs.logits, batch.labels, "the teacher", keep_graph=False)
            outputs = Outputs(outputs.logits.detach(), {name: value.detach() for name, value in found.items()})
        return Answer(self._targets(outputs.logits), outputs.features)

    def _targets(self, logits: Tensor | Projected) -> DenseTargets | ProjectedTargets:
        if isinstance(logits, Projected):
            return self._named(ProjectedTargets(logits))
        # copied outside inference mode, because autograd cannot save a tensor that was made in it
        return self._named(
            DenseTargets(logits.to(torch.float32, copy=True) if logits.is_inference() else logits.float())
        )

    def _call(self, batch: Batch, features: Sequence[str]) -> Outputs:
        execution = self._execution
        inputs = self._to_network(move_inputs(batch.read(self._reader), execution.device))
        if not self._keeps_texts_apart and batch.origin and are_packed(batch.origin.samples.source.input_names):
            refuse_mixed_texts(self.network, inputs, "model", batch.origin.samples.num_classes)
            self._keeps_texts_apart = True
        # module by module: the user may have frozen some layers in eval mode, and `network.train()` would unfreeze them
        training = [module for module in self.network.modules() if module.training]
        if training:
            self.network.eval()
        try:
            with (
                # tensors of inference mode cannot enter a loss, and do not tell whether they were changed in place
                torch.set_grad_enabled(want_gradients(features)) if features else torch.inference_mode(),
                use_matmul_library(execution.precision),
                autocast(execution.precision, execution.device),
                name_failure("the network", self.network, batch),  # which may come at a later batch than the first
            ):
                return self._predict(inputs, batch, features)
        finally:
            for module in training:  # the network belongs to the user, and is given back as it was after an error too
                module.training = True

    def _named(self, found: NamedTargets) -> NamedTargets:
        if self.classes is not None and found.num_classes != len(self.classes):
            raise MismatchError(
                f"the network of the teacher returns {found.num_classes} logits, and {len(self.classes)} names of its "
                f"classes are given: {join_names(self.classes)}."
            )
        return found

    def _predict(self, inputs: Inputs, batch: Batch, features: Sequence[str]) -> Outputs:
        called = self.network if features else self._called  # compiled code calls no hooks
        is_compiled = isinstance(called, Compiled)  # for the size of the whole batch
        most = self._execution.max_convolved_samples
        is_whole = self._execution.device.type != "cpu" or len(batch) <= most or not self._is_convolutional
        layers = self._layers.select(features) if features else {}
        if is_whole or is_compiled or not isinstance(inputs, Tensor) or want_gradients(features):
            with keep_outputs(layers, "the teacher") as found:
                output = self._carried(called, inputs, batch)
            return Outputs(logits_of(output, len(batch)), found)
        # in parts whose images stay in the caches between layers: up to 20% faster, with the same bits
        parts = [_call_part(called, part, layers) for part in inputs.split(most)]
        joined = {name: torch.cat([part.features[name] for part in parts]) for name in layers}
        return Outputs(torch.cat([part.logits for part in parts]), joined)

    def describe_kind(self) -> str:
        """Return its class and that of its network, such as `Module(ResNet)`."""
        inner = self.network.network if isinstance(self.network, Normalised) else self.network
        return f"{type(self).__name__}({type(inner).__name__})"

    def fingerprint(self) -> str:
        """Return a hash of names, shapes and values of all weights and buffers."""
        content = Content()
        if self._reader != AsIs():  # the fingerprints of older networks, which all read like this, stay as they were
            content.add_named("reader", str(self._reader))
        if (knowledge := self._reader.knowledge()) is not None:  # the same weights read other numbers of the same text
            content.add_named("knowledge", json.dumps(knowledge, sort_keys=True))
        for name, value in self.network.state_dict().items():
            content.add_named(name, value)
        return content.hexdigest()

    def knows(self, samples: Samples) -> bool:
        """Return whether the data of these samples have the columns that the network reads."""
        source = samples.source
        known = set(source.column_names)
        return all(name in known or source.raw_column(name) is not None for name in self._reader.columns)

    def prepare(self, execution: Execution) -> None:
        """Move the network to the device, lay its weights out, and compute in the precision from now on."""
        place(self.network, execution.device, execution.memory_format)
        self._execution = execution
        self._called = Compiled(self.network, execution.compiled_sizes) if execution.compiled_sizes else self.network

    def modules(self) -> list[nn.Module]:
        """Return the network."""
        return [self.network]

    def carried(self) -> list[Carried]:
        """Return the hidden state of the network."""
        return [self._carried]


def _call_part(called: Any, inputs: Tensor, layers: dict[str, nn.Module]) -> Outputs:
    with keep_outputs(layers, "the teacher") as found:
        output = called(inputs)
    return Outputs(logits_of(output, len(inputs)), found)
