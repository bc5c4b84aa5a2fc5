"""Deep copies of networks, including networks that `copy.deepcopy` refuses."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

from instar.errors import ConfigError, shortened

N = TypeVar("N", bound=nn.Module)


def copy_network(network: N) -> N:
    """Return a trainable copy of weights, buffers, modes, hooks and tensors that layers have computed.

    Weights that were created under `torch.inference_mode` become ordinary weights in the copy.

    Raises:
        ConfigError: when the network contains an object that cannot be copied.

    >>> layer = nn.Linear(2, 2)
    >>> layer.computed = 2 * layer.weight  # which copy.deepcopy refuses
    >>> copied = copy_network(layer)
    >>> bool((copied.weight == layer.weight).all()), copied.weight is layer.weight
    (True, False)
    """
    refuse_unhashable(network)
    with torch.inference_mode(False), torch.no_grad():
        memo: dict[int, Any] = {id(tensor): _plain(tensor) for tensor in _tensors(network) if _is_special(tensor)}
        try:
            copied = copy.deepcopy(network, memo)
            for mine, theirs in zip(copied.parameters(), network.parameters(), strict=True):
                if mine.requires_grad != theirs.requires_grad:  # a copied ScriptModule loses requires_grad
                    mine.requires_grad_(theirs.requires_grad)
            return copied
        except Exception as error:
            raise ConfigError(
                f"cannot copy the module {type(network).__name__}, and a run trains a copy of it ({shortened(error)}); "
                "remove locks, open files and generators from its attributes."
            ) from None


def refuse_unhashable(network: nn.Module) -> None:
    """Refuse modules that PyTorch cannot list, because they have no hash.

    Raises:
        ConfigError: names the module, and what to do.
    """
    try:
        for _ in network.modules():
            pass
    except TypeError:
        raise ConfigError(
            f"the module {type(network).__name__}, or one inside it, has no hash, which PyTorch needs; a dataclass has "
            "one with @dataclass(eq=False)."
        ) from None


def _is_special(tensor: Tensor) -> bool:
    """Return whether deepcopy refuses a tensor, or copies it so that no gradient reaches the copy."""
    if is_lazy(tensor):
        return isinstance(tensor, UninitializedBuffer)
    return tensor.grad_fn is not None or tensor.is_inference()


def _plain(tensor: Tensor) -> Tensor:
    if is_lazy(tensor):
        return UninitializedBuffer(device=tensor.device, dtype=tensor.dtype)  # type: ignore[call-arg]  # torch accepts them
    copied = tensor.detach().clone()
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    """Yield all tensors of the modules: weights, buffers and attributes, also those in lists and dictionaries."""
    for module in network.modules():
        yield from _inside(vars(module).values())


def _inside(values: Iterable[Any], deepest: int = 4) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif deepest and isinstance(value, dict):
            yield from _inside(value.values(), deepest - 1)
        elif deepest and isinstance(value, list | tuple):
            yield from _inside(value, deepest - 1)
