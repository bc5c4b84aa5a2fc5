"""Outputs of hidden layers, kept by hooks that live for one call of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from instar.errors import MismatchError
from instar.models.layer_gradients import GRADIENT, INPUTS
from instar.models.length_parts import LengthPart, called_part, join_parts


@contextmanager
def keep_outputs(layers: Mapping[str, nn.Module], who: str) -> Iterator[dict[str, Tensor]]:
    """Keep what layers return while a network is called once inside the context; without layers, nothing is done.

    The dictionary is filled when the context ends. The layers have no hooks afterwards, also after an error. A layer
    may return one tensor, or a tuple with one tensor only, as the layers of Transformers do. What a network returns for
    the samples of each length by themselves is joined.

    Args:
        layers: modules inside the network by name.
        who: what is called, for error messages, such as "the student".

    Raises:
        MismatchError: when a layer is not called, is called twice, returns no tensor or several, or a later layer
            changes its output in place.

    >>> import torch
    >>> network = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    >>> with keep_outputs({"0": network[0]}, "the student") as found:
    ...     _ = network(torch.zeros(4, 2))
    >>> found["0"].shape, len(network[0]._forward_hooks)
    (torch.Size([4, 3]), 0)
    """
    kept: dict[str, Tensor] = {}
    if not layers:
        yield kept
        return
    keepers = [_Keeper(name, who) for name in layers]
    handles = []
    try:
        for keeper, (name, module) in zip(keepers, layers.items(), strict=True):
            is_input = name == GRADIENT + INPUTS
            handles.append(
                module.register_forward_pre_hook(keeper.keep_input)
                if is_input
                else module.register_forward_hook(keeper)
            )
        yield kept
    finally:
        for handle in handles:
            handle.remove()
    kept.update({keeper.name: keeper.output() for keeper in keepers})


class _Keeper:
    """A forward hook. It is no closure of the network, so that nothing refers to itself."""

    def __init__(self, name: str, who: str) -> None:
        self.name, self.who = name, who
        self.kept: list[tuple[LengthPart | None, Tensor, int]] = []

    def output(self) -> Tensor:
        """Return what the layer has returned for the whole batch."""
        if not self.kept:
            raise MismatchError(
                f"{self.who} does not call its layer '{self.name}' in a forward pass, or calls it inside compiled "
                "code; choose a layer that is called as a module."
            )
        # a ReLU in place would turn what this layer returned into what the ReLU returns
        if any(found._version != version for _, found, version in self.kept):
            raise MismatchError(
                f"a later layer of {self.who} changes the output of '{self.name}' in place; name that later layer, "
                "such as the ReLU(inplace=True) behind it."
            )
        parts = [(part, found) for part, found, _ in self.kept if part is not None]
        return join_parts(parts, f"the layer '{self.name}' of {self.who}") if parts else self.kept[0][1]

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        part = called_part()
        if part is not None and self.name.startswith(GRADIENT):
            raise MismatchError(
                f"{self.who} computes the samples of each length by themselves, so there are no gradients of its layer "
                f"'{self.name.removeprefix(GRADIENT)}'; compare outputs of layers."
            )
        if any(None in (part, other) or part is other for other, *_ in self.kept):
            raise MismatchError(
                f"{self.who} calls its layer '{self.name}' twice in a forward pass, so its output is not one tensor; "
                "choose another layer."
            )
        found = _only_tensor(output, f"the layer '{self.name}' of {self.who}")
        if not self.name.startswith(GRADIENT) or found.requires_grad:
            self._keep(found)
            return output
        # the weights before it are frozen, as those of a teacher often are
        found = self._keep(_reached_by_gradients(found))
        return found if isinstance(output, Tensor) else (found,)

    def _keep(self, found: Tensor) -> Tensor:
        self.kept.append((called_part(), found, found._version))
        return found

    def keep_input(self, module: nn.Module, inputs: Any) -> Any:
        """Keep the input, as a tensor that gradients reach."""
        if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
            raise MismatchError(
                f"the inputs of {self.who} are not a single tensor of floating-point numbers; pair layers instead."
            )
        return (self._keep(_reached_by_gradients(inputs[0])),)


def _reached_by_gradients(found: Tensor) -> Tensor:
    # copied, because the next layer may change it in place, which torch forbids for a leaf
    return found.detach().requires_grad_().clone()


def _only_tensor(output: Any, which: str) -> Tensor:
    if isinstance(output, Tensor):
        return output
    parts = list(output.values()) if isinstance(output, Mapping) else output
    tensors = [part for part in parts if isinstance(part, Tensor)] if isinstance(parts, tuple | list) else []
    if len(tensors) == 1 and len(parts) == 1:
        return tensors[0]
    found = f"a {type(output).__name__} with {len(tensors)} tensors" if tensors else f"a {type(output).__name__}"
    raise MismatchError(f"{which} must return one tensor, got {found}; choose a layer inside it or after it.")
