"""Input normalisation as a part of the model, so that teacher and student may use different statistics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from instar.errors import MismatchError
from instar.models.architecture import Architecture, HiddenState
from instar.models.outputs import logits_of
from instar.models.readers.as_is import AsIs
from instar.models.readers.reader import Reader


class Normalised(nn.Module):
    """logits = network((x - mean) / std), where `reader` reads x; pixels 0..255 are first scaled to 0..1.

    Tokens stay unchanged.

    With mean 0 and std 1 the inputs are not standardised, see `reader_of`.

    Args:
        network: inner network; its inputs are converted to the dtype of its weights.
        mean: mean of the inputs, broadcast against one input.
        std: standard deviation of the inputs, broadcast against one input.
        reader: how raw inputs get the size that the network takes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, reader: Reader | None = None) -> None:
        super().__init__()
        self.network = network
        self.reader = reader or AsIs()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self._dtype = dtype_of(network)
        # kept, because a look at the statistics in every step would wait for an accelerator
        self._reads_as_is = self._changes_nothing()

    def _changes_nothing(self) -> bool:
        return not self.mean.any() and bool((self.std == 1).all())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # a run whose inputs had other axes has statistics of another shape
        for name in ("mean", "std"):
            value, mine = state_dict.get(prefix + name), getattr(self, name)
            if isinstance(value, Tensor) and value.shape != mine.shape:
                setattr(self, name, value.to(mine, copy=True))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self._reads_as_is = self._changes_nothing()

    def forward(self, inputs: Tensor, *state: HiddenState, **options: bool) -> Any:
        """Return logits `[batch, classes]` of raw inputs of a source; with `state`, also the next state."""
        output = self.network(self._normal(inputs), *state, **options)
        # shape[0], because len() would fix the batch size of an exported graph
        return output if state else logits_of(output, inputs.shape[0])

    def features(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and named features of the inner network for raw inputs of a source.

        Raises:
            MismatchError: when the network is not an `Architecture`, which names its features.
        """
        if not isinstance(self.network, Architecture):
            name = type(self.network).__name__
            raise MismatchError(
                f"the network '{name}' has no named features; derive it from instar.models.Architecture."
            )
        return self.network.features(self._normal(inputs))

    def _normal(self, raw: Tensor) -> Tensor:
        inputs = self.reader(raw)
        if is_tokens(inputs):
            return inputs
        if self._reads_as_is:
            # a copy, because the network may change its inputs in place, and these may be the data set itself
            return as_floats(inputs, self._dtype, copy=True)
        scale = 1 / self.std
        if inputs.dtype == torch.uint8:
            scale = scale / 255
        # in place on one new tensor: on a CPU, addcmul is slower with broadcast statistics, and allocating a second
        # tensor costs more than the arithmetic
        normal = inputs.to(torch.float32, copy=True).mul_(scale).sub_(self.mean / self.std)
        return normal.to(self._dtype)  # last: bfloat16 would round pixels and their difference from the mean


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network itself, without the statistics of its inputs."""
    return network.network if isinstance(network, Normalised) else network


def reader_in(network: nn.Module) -> Reader:
    """Return the reader of a network; one that is not `Normalised` reads inputs as they are."""
    return network.reader if isinstance(network, Normalised) else AsIs()


def set_reader(network: nn.Module, reader: Reader, statistics: tuple[Tensor, Tensor] | None = None) -> Normalised:
    """Return a network that reads its inputs with `reader`; a `Normalised` network keeps its own where this is `AsIs`.

    Args:
        network: network, which is not copied.
        reader: reader, whose statistics come before all others.
        statistics: mean and standard deviation of the inputs of a network without; None: 0 and 1, which change nothing.
    """
    if isinstance(network, Normalised):
        if reader == AsIs():
            return network
        statistics, network = (network.mean, network.std), network.network
    mean, std = reader.statistics() or statistics or (torch.zeros(1), torch.ones(1))
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return Normalised(network, mean.to(device), std.to(device), reader)


def reader_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the function that turns raw inputs of a source into inputs of a network with weights.

    A `Normalised` gets raw inputs and normalises them itself. Any other module gets pixels as x / 255 and other floats
    unchanged, both in the dtype of its weights, and tokens unchanged.

    >>> reader_of(nn.Linear(2, 2).double())(torch.tensor([[0, 255]], dtype=torch.uint8))
    tensor([[0., 1.]], dtype=torch.float64)
    """
    return _as_is if isinstance(network, Normalised) else partial(as_floats, dtype=dtype_of(network))


def _as_is(inputs: Tensor) -> Tensor:
    return inputs


def as_floats(inputs: Tensor, dtype: torch.dtype = torch.float32, *, copy: bool = False) -> Tensor:
    """Return pixels 0..255 as 0..1 and other floats unchanged, both in `dtype`; tokens unchanged and never copied."""
    if is_tokens(inputs):
        return inputs
    # divided, as users do it themselves: a product with 1 / 255 differs in the last bit
    return inputs.to(dtype) / 255 if inputs.dtype == torch.uint8 else inputs.to(dtype, copy=copy)


def dtype_of(network: nn.Module) -> torch.dtype:
    """Return the dtype of a network's weights; float32 if it has no weights or several dtypes.

    >>> dtype_of(nn.Linear(2, 2).bfloat16())
    torch.bfloat16
    """
    found = {parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()}
    return found.pop() if len(found) == 1 else torch.float32


def is_tokens(inputs: Tensor) -> bool:
    """Return whether inputs are token numbers, which have no mean."""
    return not inputs.is_floating_point() and inputs.dtype != torch.uint8
