"""Deep copies of networks, including networks that `copy.deepcopy` refuses."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

from instar.errors import ConfigError, shortened

Network = TypeVar("Network", bound=nn.Module)


def copy_network(network: Network) -> Network:
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
    # a copy that is made inside inference mode could not be trained
    with torch.inference_mode(False), torch.no_grad():
        # deepcopy takes what the memo holds under an id for the copy of that object
        tensors = (tensor for module in network.modules() for tensor in _find_tensors(vars(module).values()))
        memo: dict[int, Any] = {id(tensor): _plain(tensor) for tensor in tensors if _is_special(tensor)}
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
    if is_lazy(tensor):  # has no values yet; deepcopy refuses a lazy buffer, but copies a lazy parameter
        return isinstance(tensor, UninitializedBuffer)
    # deepcopy refuses the result of a computation; its copy of an inference tensor gets no gradient
    return tensor.grad_fn is not None or tensor.is_inference()


def _plain(tensor: Tensor) -> Tensor:
    if is_lazy(tensor):
        return UninitializedBuffer(device=tensor.device, dtype=tensor.dtype)  # type: ignore[call-arg]  # torch accepts them
    copied = tensor.detach().clone()
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied


def _find_tensors(values: Iterable[Any], max_depth: int = 4) -> Iterator[Tensor]:
    # a module has its parameters and buffers in dictionaries; the depth is limited, because a list may contain itself
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif max_depth and isinstance(value, dict):
            yield from _find_tensors(value.values(), max_depth - 1)
        elif max_depth and isinstance(value, list | tuple):
            yield from _find_tensors(value, max_depth - 1)
