"""Whether teacher and student have the hidden layers that terms compare, found and tried before the first step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from instar.config import RunConfig
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.errors import ConfigError, MismatchError, NonFiniteError
from instar.models.hooks import keep_outputs
from instar.models.layer_gradients import replace_by_gradients, want_gradients
from instar.models.modes import in_eval_mode
from instar.models.named_layers import LayerNames, Layers
from instar.models.normalised import Normalised, reader_in
from instar.models.outputs import refuse_other_rows
from instar.models.readers.encoded import find_attention_mask
from instar.models.readers.reader import Reader
from instar.objectives.features.feature_term import FeatureTerm
from instar.objectives.features.matching import make_adapters, resolve_layers
from instar.objectives.objective import Objective
from instar.objectives.values import Hidden, Need
from instar.stages.stored_layers import find_positions, has_positions, hash_tokens
from instar.teachers.stored import Stored
from instar.teachers.teacher import Teacher, ask

Features = Mapping[str, Tensor]
"""Outputs of layers by name."""


def refuse_without_layers(objective: Objective, teacher: Teacher | None, config: RunConfig) -> None:
    """Refuse a run whose terms compare hidden layers where the teacher has none, or the settings leave none.

    Raises:
        MismatchError: when the teacher has no layers.
        ConfigError: when targets are kept, the network is compiled, or gradients are measured class by class.
    """
    if teacher is None or not objective.compares_layers:  # `Objective.check` refuses a run without a teacher
        return
    term = next(type(term).__name__ for _, term in objective.parts if term.layers is not None)
    if teacher.layers() is None:
        raise MismatchError(f"{term} compares hidden layers, and {teacher.describe_lack()}.")
    training = config.training
    for is_set, problem in (
        (config.targets == "memory", "targets 'memory' keep none; set targets to online or store"),
        (training.compile, "compiled code has none; set training.compile to false"),
        (training.gradients_every > 0, "training.gradients_every splits gradients of logits alone; set it to 0"),
    ):
        if is_set:
            raise ConfigError(f"{term} compares hidden layers, and {problem}.")


@torch.no_grad()
def match_layers(
    objective: Objective,
    model: Normalised,
    teacher: Teacher | None,
    loader: Loader,
    accelerator: Accelerator,
    targets: str,
) -> tuple[Objective, nn.ModuleDict]:
    """Return an objective whose terms name each layer, and the layers that terms own, after trying them on two samples.

    Args:
        objective: the objective.
        model: the student, on the device of the loader.
        teacher: the teacher, on that device.
        loader: loader of the training samples.
        accelerator: device and processes.
        targets: setting that says where the answers of the teacher are kept.

    Raises:
        ConfigError: when several processes would wait for gradients that never come.
        MismatchError: when a layer is missing, or two layers cannot be compared; names them.
        NonFiniteError: when the loss of a term is not finite.
    """
    layers = teacher.layers() if teacher is not None and objective.compares_layers else None
    if teacher is None or layers is None:
        return objective, nn.ModuleDict()
    for who, network in (("the student", model.network), *(("the teacher", one) for one in teacher.modules())):
        refuse_compiled(network, who)
    if objective.on_logits is None and accelerator.num_processes > 1:
        raise ConfigError(
            "several processes wait for gradients of all weights, and the last layer gets none without a term of "
            "logits; add one with a weight of 0, such as 0 * HardLabels(), or train in one process."
        )
    own = Layers.of(model, "the student")
    resolved = resolve_layers(objective, own, layers)
    refuse_stored_gradients(resolved, layers, targets)
    batch = loader.batch(0).part(0, 2)
    inputs = batch.read(model.reader)
    refuse_other_tokens(resolved, model.reader, teacher, batch)
    mask = find_attention_mask(inputs)
    resolved.refuse_unmet({Need.ATTENTION_MASK: mask is not None})
    answer = ask(teacher, batch, resolved.teacher_layers)
    with in_eval_mode(model), torch.set_grad_enabled(want_gradients(resolved.student_layers)):
        with keep_outputs(own.select(resolved.student_layers), "the student") as features:
            logits = model(inputs)
        replace_by_gradients(features, logits, batch.labels, "the student", keep_graph=False)
    refuse_other_rows(features, len(batch), "the student")
    read = find_positions(teacher, batch)  # None of a store, which has what its teacher read
    refuse_padding(resolved, batch, (features, mask), (answer.features, mask if read is None else read))
    adapters = make_adapters(resolved, features, answer.features, loader.samples)
    hidden = Hidden.of(features, answer.features, adapters, inputs)
    with in_eval_mode(adapters):  # so that a try changes no statistics of a batch
        _, sums = resolved.at_peak()(logits, batch, answer.targets, hidden=hidden)
    for _, term in resolved.parts:
        if term.layers is not None and not sums[term.name].isfinite():
            raise NonFiniteError(
                f"the term '{term.name}' is not finite before the first step; check the layers {dict(term.layers)}."
            )
    return resolved, adapters


def refuse_stored_gradients(objective: Objective, layers: LayerNames, targets: str) -> None:
    """Refuse terms that compare gradients of the teacher where its layers come from a target store.

    Args:
        objective: objective whose terms name each layer.
        layers: layers of the teacher.
        targets: setting that says where its answers are kept.

    Raises:
        MismatchError: names the term.
    """
    if targets != "store" and isinstance(layers, Layers):
        return
    for _, term in objective.parts:
        if want_gradients((term.layers or {}).values()):
            raise MismatchError(
                f"{type(term).__name__} compares gradients of the teacher, and a target store keeps outputs of layers "
                "alone; give a network as the teacher, and set targets to online."
            )


def refuse_other_tokens(objective: Objective, reader: Reader, teacher: Teacher, batch: Batch) -> None:
    """Refuse terms that compare positions where the teacher reads other tokens than the student.

    Args:
        objective: the objective.
        reader: how the student reads.
        teacher: the teacher.
        batch: the batch.

    Raises:
        MismatchError: names the term.
    """
    terms = [term for _, term in objective.parts if isinstance(term, FeatureTerm) and term.compares_positions(batch)]
    inputs = batch.read(reader)
    if not terms or not isinstance(inputs, Mapping):
        return
    read = [batch.read(reader_in(network)) for network in teacher.modules()]
    are_alike = [
        isinstance(theirs, Mapping)
        and all(name in theirs and torch.equal(theirs[name], tokens) for name, tokens in inputs.items())
        for theirs in read
    ]
    if isinstance(teacher, Stored) and batch.origin is not None:  # it knows what its teacher has read of some samples
        ids, hashes = teacher.few_texts()
        are_alike = [hash_tokens(reader, batch.origin.samples.source, ids).items() <= hashes.items()]
    for is_alike in are_alike:
        if not is_alike:
            raise MismatchError(
                f"{type(terms[0]).__name__} compares positions, and the teacher reads other tokens than the student; "
                "give both the same reader, such as the teacher's tokenizer and length."
            )


def refuse_padding(
    objective: Objective, batch: Batch, student: tuple[Features, Tensor | None], teacher: tuple[Features, Tensor | None]
) -> None:
    """Refuse terms that would compare padding, because they compare whole samples, and layers return positions.

    Args:
        objective: the objective.
        batch: a few samples; where labels are at positions, terms need a loss for each.
        student: outputs of its layers for them by name, and which positions are no padding; None: unknown.
        teacher: the same of the teacher.

    Raises:
        MismatchError: names the term and the layer.
    """
    for term in (term for _, term in objective.parts if isinstance(term, FeatureTerm)):
        # a term of the user's that needs the mask may read it
        if batch.labels.dim() > 1 or term.compares_positions(batch) or Need.ATTENTION_MASK in term.needs:
            continue
        sides = (("student", list(term.layers), *student), ("teacher", list(term.layers.values()), *teacher))
        for who, names, features, mask in sides:
            for name in names:
                if has_positions(features[name], mask):
                    raise MismatchError(
                        f"{type(term).__name__} compares whole samples, and the layer '{name}' of the {who} returns a "
                        "row for each position, padding too; use HiddenStates, or a layer that returns one row for "
                        "each sample."
                    )


def refuse_compiled(network: nn.Module, who: str) -> None:
    """Refuse a network of the user's that is compiled, because compiled code calls no hooks.

    Raises:
        MismatchError: names the layer.
    """
    for name, module in network.named_modules():
        # torch.compile returns a module of its own, or changes how a module is called
        is_wrapper = type(module).__module__.startswith("torch._dynamo")
        if is_wrapper or isinstance(module, torch.jit.ScriptModule) or module._compiled_call_impl is not None:
            which = f"the layer '{name}' of {who}" if name else who
            raise MismatchError(
                f"{which} is compiled, and compiled code has no hidden layers; give the network as it was before "
                "torch.compile or torch.jit."
            )
