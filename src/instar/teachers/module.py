"""A network as a teacher: a torch module, or the model of a run folder."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import cast

import torch
import xxhash
from torch import Tensor, nn

from instar.data import Batch
from instar.models.carried import Carried
from instar.models.execution import Compiled, MemoryFormat, place
from instar.precision import Precision, autocast, library
from instar.projected import Projected
from instar.targets import DenseTargets, ProjectedTargets
from instar.teachers.teacher import AT_ONCE, Teacher


class Module(Teacher):
    """v = network(x), in eval and inference mode.

    Args:
        network: takes `[batch, ...]` inputs and returns logits `[batch, classes]`. It sees pixels as the source holds
            them if it is a `Normalised` model, and otherwise floats, with uint8 pixels scaled to 0..1.

    >>> from instar.data import Loader, load_data
    >>> teacher = Module(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    >>> batch = Loader(load_data("digits").train, 8, seed=0).batch(0)
    >>> teacher.targets(batch).log_probs(4.0).shape
    torch.Size([8, 10])
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._takes_pixels = hasattr(network, "mean") and hasattr(network, "std") and hasattr(network, "network")
        self._device = next((p.device for p in network.parameters()), torch.device("cpu"))
        self._precision: Precision = "float32"
        self._called: nn.Module | Compiled = network
        self._at_once = AT_ONCE
        self._carried = Carried(network)
        self._is_convolutional = any(isinstance(module, nn.Conv2d) for module in network.modules())

    def targets(self, batch: Batch) -> DenseTargets | ProjectedTargets:
        """Return the logits of the network; the mode (train or eval) of every layer is left as it was."""
        inputs = batch.inputs.to(self._device)
        if inputs.dtype == torch.uint8 and not self._takes_pixels:
            inputs = inputs.float() / 255
        # module by module: a network may hold layers that are frozen in another mode than its own
        training = [module for module in self.network.modules() if module.training]
        if training:
            self.network.eval()
        try:
            with torch.inference_mode(), library(self._precision), autocast(self._precision, self._device):
                logits = self._ask(inputs, batch)
        finally:
            for module in training:
                module.training = True
        if isinstance(logits, Projected):
            return ProjectedTargets(logits)
        # a clone outside inference mode, so that autograd may save it
        return DenseTargets(logits.to(torch.float32, copy=True) if logits.is_inference() else logits.float())

    def _ask(self, inputs: Tensor, batch: Batch) -> Tensor | Projected:
        is_compiled = isinstance(self._called, Compiled)  # for the whole batch
        if inputs.device.type != "cpu" or len(inputs) <= self._at_once or not self._is_convolutional or is_compiled:
            return cast("Tensor | Projected", self._carried(self._called, inputs, batch))
        return torch.cat([self._called(part) for part in inputs.split(self._at_once)])

    def fingerprint(self) -> str:
        """Return a hash of names, shapes and values of all weights and buffers."""
        digest = xxhash.xxh3_128()  # hashlib takes ten times as long, and every run hashes its teacher three times
        for name, tensor in self.network.state_dict().items():
            digest.update(json.dumps([name, list(tensor.shape), str(tensor.dtype)]).encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def prepare(
        self,
        device: torch.device,
        precision: Precision,
        *,
        memory_format: MemoryFormat = "auto",
        compile_for: Collection[int] = (),
        at_once: int = AT_ONCE,
    ) -> None:
        """Move the network to `device`, lay its weights out, and compute in `precision` from now on."""
        place(self.network, device, memory_format)
        self._device, self._precision, self._at_once = device, precision, at_once
        self._called = Compiled(self.network, compile_for) if compile_for else self.network

    def modules(self) -> list[nn.Module]:
        """Return the network."""
        return [self.network]

    def carried(self) -> list[Carried]:
        """Return the hidden state of the network."""
        return [self._carried]
