"""Input normalisation as a part of the model, so that teacher and student may use different statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs, are_tensors, call_network, change_tensors, count_rows, move_inputs
from instar.errors import MismatchError
from instar.models.architecture import Architecture, HiddenState, TextNetwork
from instar.models.outputs import logits_of
from instar.models.readers.as_is import AsIs
from instar.models.readers.named import Named
from instar.models.readers.reader import Reader

MeanAndStd = tuple[Tensor, Tensor]
"""Mean and standard deviation of an input, broadcast against one."""


class Statistics(nn.Module):
    """Mean and standard deviation of one of several inputs.

    Args:
        mean: mean of the input, broadcast against one.
        std: standard deviation of the input, broadcast against one.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
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

    def standardise(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (x - mean) / std in `dtype`, where pixels 0..255 are first scaled to 0..1; tokens unchanged."""
        if is_tokens(inputs):
            return inputs
        if self._reads_as_is:
            # a copy, because the network may change its inputs in place, and these may be the data set itself
            return as_floats(inputs, dtype, copy=True)
        scale = 1 / self.std
        if inputs.dtype == torch.uint8:
            scale = scale / 255
        # in place on one new tensor: on a CPU, addcmul is slower with broadcast statistics, and allocating a second
        # tensor costs more than the arithmetic
        normal = inputs.to(torch.float32, copy=True).mul_(scale).sub_(self.mean / self.std)
        return normal.to(dtype)  # last: bfloat16 would round pixels and their difference from the mean


class Normalised(Statistics):
    """logits = network((x - mean) / std), where `reader` reads x; pixels 0..255 are first scaled to 0..1.

    Tokens stay unchanged. Several inputs by name are given, and passed on to the network by keyword, each standardised
    by statistics of its own; those without are not standardised.

    With mean 0 and std 1 the inputs are not standardised, see `reader_of`.

    Args:
        network: inner network; its inputs are converted to the dtype of its weights.
        mean: mean of the inputs, broadcast against one input.
        std: standard deviation of the inputs, broadcast against one input.
        reader: how raw inputs get the size that the network takes.
        statistics: mean and standard deviation of each of several inputs by name.

    >>> class Masked(nn.Module):
    ...     def forward(self, values: Tensor, mask: Tensor) -> Tensor:
    ...         return (values * mask).sum(1, keepdim=True)
    >>> masked = Normalised(Masked(), torch.zeros(1), torch.ones(1))
    >>> masked({"values": torch.tensor([[1.0, 2.0, 9.0]]), "mask": torch.tensor([[True, True, False]])})
    tensor([[3.]])
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Tensor,
        std: Tensor,
        reader: Reader | None = None,
        statistics: Mapping[str, MeanAndStd] | None = None,
    ) -> None:
        super().__init__(mean, std)
        self.network = network
        self.reader = reader or AsIs()
        self._dtype = dtype_of(network)
        self.output_scale: OutputScale | None = None
        self.statistics = nn.ModuleDict({name: Statistics(*both) for name, both in (statistics or {}).items()})

    def forward(self, inputs: Inputs, *state: HiddenState, **options: bool) -> Any:
        """Return logits `[batch, classes]` of raw inputs of a source; with `state`, also the next state."""
        normal = self.prepare(inputs)
        output = call_network(self.network, normal, *state, **options)
        if state:
            return output
        logits = logits_of(output, count_rows(normal))
        return logits if self.output_scale is None else self.output_scale(logits)

    def scale_outputs(self, mean: float | Tensor, std: float | Tensor) -> None:
        """Let the network predict numbers in units of a standard deviation, from a mean on."""
        self.output_scale = OutputScale(mean, std).to(self.mean.device)

    def generate(self, prompts: Any, **options: Any) -> Any:
        """Return what a language model writes behind prompts; see `TextNetwork.generate`.

        Raises:
            MismatchError: when the network is no language model of Transformers.
        """
        if not isinstance(self.network, TextNetwork):
            raise MismatchError(f"the network '{type(self.network).__name__}' writes no text.")
        return self.network.generate(prompts, **options)

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
        normal: Any = self.prepare(inputs)  # several tensors for networks that read words
        return self.network.features(normal)

    def prepare(self, raw: Inputs) -> Inputs:
        """Return what the inner network is called with for raw inputs of a source: read, and standardised."""
        read: Any = self.reader  # a reader of one tensor is annotated as such
        inputs: Inputs = read(raw)
        if not are_tensors(raw):  # texts, which are on no device
            inputs = move_inputs(inputs, self.mean.device)
        if isinstance(inputs, Tensor):
            return self.standardise(inputs, self._dtype)
        if not self._reads_as_is:
            raise MismatchError(
                f"mean and std of a Normalised network are those of one tensor, and it is given several: "
                f"{', '.join(inputs)}; give them by name, as statistics={{'{next(iter(inputs))}': (mean, std)}}."
            )
        return {name: self._standardise_one(name, tensor) for name, tensor in inputs.items()}

    def _standardise_one(self, name: str, inputs: Tensor) -> Tensor:
        own: Any = dict(self.statistics.items()).get(name)
        standard: Tensor = (
            as_floats(inputs, self._dtype, copy=True) if own is None else own.standardise(inputs, self._dtype)
        )
        return standard

    def leaves_unstandardised(self, inputs: Inputs) -> bool:
        """Return whether any of raw inputs has a mean and is not standardised; tokens have none."""
        if isinstance(inputs, Tensor):
            return not is_tokens(inputs) and self._reads_as_is
        return any(not is_tokens(tensor) and name not in self.statistics for name, tensor in inputs.items())

    def mean_and_std(self) -> dict[str, MeanAndStd]:
        """Return mean and standard deviation of each of several inputs, without those that are not standardised."""
        found: dict[str, Any] = dict(self.statistics.items())
        return {name: (own.mean, own.std) for name, own in found.items()}


class OutputScale(nn.Module):
    """y = mean + std z in float32, from outputs z of a network to numbers y in the unit of the labels.

    Args:
        mean: mean of the labels.
        std: standard deviation of the labels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | Tensor, std: float | Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32))

    def forward(self, outputs: Tensor) -> Tensor:
        """Return the numbers, in the shape of the outputs."""
        return torch.addcmul(self.mean, self.std, outputs.float())


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network itself, without the statistics of its inputs."""
    return network.network if isinstance(network, Normalised) else network


def reader_in(network: nn.Module) -> Reader:
    """Return the reader of a network; one that is not `Normalised` reads inputs as they are."""
    return network.reader if isinstance(network, Normalised) else AsIs()


def set_reader(
    network: nn.Module,
    reader: Reader,
    statistics: MeanAndStd | None = None,
    several: Mapping[str, MeanAndStd] | None = None,
) -> Normalised:
    """Return a network that reads its inputs with `reader`; a `Normalised` network keeps its own where this is `AsIs`.

    Args:
        network: network, which is not copied.
        reader: reader, whose statistics come before all others.
        statistics: mean and standard deviation of the inputs of a network without; None: 0 and 1, which change nothing.
        several: those of several inputs by name.
    """
    if isinstance(network, Normalised):
        if reader == AsIs():
            return network
        statistics, several, network = (network.mean, network.std), network.mean_and_std(), network.network
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    own = {name: one.statistics() for name, one in reader.readers} if isinstance(reader, Named) else {}
    chosen = {**(several or {}), **{name: found for name, found in own.items() if found is not None}}
    mean, std = reader.statistics() or statistics or (torch.zeros(1), torch.ones(1))
    return Normalised(
        network,
        mean.to(device),
        std.to(device),
        reader,
        {name: (mean.to(device), std.to(device)) for name, (mean, std) in chosen.items() if name in own},
    )


def reader_of(network: nn.Module) -> Callable[[Inputs], Inputs]:
    """Return the function that turns raw inputs of a source into inputs of a network with weights.

    A `Normalised` gets raw inputs and normalises them itself. Any other module gets pixels as x / 255 and other floats
    unchanged, both in the dtype of its weights, and tokens unchanged.

    >>> reader_of(nn.Linear(2, 2).double())(torch.tensor([[0, 255]], dtype=torch.uint8))
    tensor([[0., 1.]], dtype=torch.float64)
    """
    if isinstance(network, Normalised):
        return _as_is
    return partial(change_tensors, partial(as_floats, dtype=dtype_of(network)))


def _as_is(inputs: Inputs) -> Inputs:
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
