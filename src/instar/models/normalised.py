"""Input statistics that belong to a model, so that teacher and student may have different ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from instar.data import Samples, Source
from instar.errors import MismatchError
from instar.models.architecture import Architecture
from instar.models.carried import State, carries_state

_MOST = 100_000  # samples that the statistics are taken from


class Normalised(nn.Module):
    """logits = network((x - mean) / std), with x in 0..1 where the source holds pixels 0..255; tokens stay as they are.

    Args:
        network: the network inside.
        mean: of the inputs, broadcast against one input.
        std: of the inputs, broadcast against one input.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @property
    def carries_state(self) -> bool:
        """Whether the network inside has a hidden state, see `Carried`."""
        return carries_state(self.network)

    @property
    def projects(self) -> bool:
        """Whether the network inside can leave its logits to be made, see `Carried`."""
        return bool(getattr(self.network, "projects", False))

    def forward(self, inputs: Tensor, *state: State, **options: bool) -> Any:
        """Return logits `[batch, classes]` of inputs as a source holds them; with a state, the one after them too."""
        return self.network(self._normal(inputs), *state, **options)

    def features(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and named features of the network inside, of inputs as a source holds them.

        Raises:
            MismatchError: when the network is no architecture of ours, and so has no names for its features.
        """
        if not isinstance(self.network, Architecture):
            name = type(self.network).__name__
            raise MismatchError(f"the network '{name}' has no named features; make it an instar.models.Architecture.")
        return self.network.features(self._normal(inputs))

    def _normal(self, inputs: Tensor) -> Tensor:
        if is_tokens(inputs):
            return inputs
        scale = 1 / self.std
        if inputs.dtype == torch.uint8:
            scale = scale / 255
        # plain passes over one new tensor: on a CPU, addcmul is slower for statistics that are broadcast, and the pages
        # of a second tensor cost more than the arithmetic
        return inputs.to(torch.float32, copy=True).mul_(scale).sub_(self.mean / self.std)


def is_tokens(inputs: Tensor) -> bool:
    """Whether inputs are the numbers of tokens, of which there is no mean."""
    return not inputs.is_floating_point() and inputs.dtype != torch.uint8


def statistics(samples: Samples) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the inputs: per channel of images, per feature of vectors and of frames.

    Shapes `[channels, 1, 1]` or `[features]`; features that never change get std 1. Frames that only pad a recording do
    not count. Of large sets, 100,000 samples at even distances are taken.

    >>> from instar.data import load_data
    >>> mean, std = statistics(load_data("digits").train)
    >>> mean.shape, round(mean.item(), 2), round(std.item(), 2)
    (torch.Size([1, 1, 1]), 0.31, 0.38)
    """
    if is_tokens(samples.source.inputs):
        return torch.zeros(1), torch.ones(1)
    ids = samples.ids[:: -(-len(samples) // _MOST)]
    axes = (0, 2, 3) if len(samples.input_shape) == 3 else (0,)
    has_frames = samples.source.positions is not None and len(samples.input_shape) == 2
    total = square = torch.zeros(1, dtype=torch.float64)
    count = 0
    for part in ids.split(4096):
        inputs = _valid_frames(samples.source, part) if has_frames else samples.source.inputs[part]
        inputs = inputs.double() / 255 if inputs.dtype == torch.uint8 else inputs.double()
        total = total + inputs.sum(axes, keepdim=True)[0]
        square = square + inputs.square().sum(axes, keepdim=True)[0]
        count += inputs.numel() // total.numel()
    mean = total / count
    std = (square / count - mean.square()).clamp(min=0).sqrt()
    return mean.float(), torch.where(std > 1e-8, std, 1.0).float()


def _valid_frames(source: Source, ids: Tensor) -> Tensor:
    """Return the frames of some samples one after another, `[frames, features]`, without those that pad them."""
    inputs = source.inputs[ids]
    if source.lengths is None:
        return inputs.flatten(0, 1)
    return inputs[torch.arange(inputs.shape[1]) < source.lengths[ids][:, None]]
