"""A bound on the network that a folder describes: its weights are there, so it cannot have many more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from instar.errors import RunError

TIMES, SPARE_NUMBERS, SPARE_TENSORS = 4, 1 << 20, 100
"""Layers may be replaced, and share weights, while a network is made; what is far above is another network."""


class _TooLargeError(Exception):
    pass


def refuse_larger(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], where: str, name: str) -> None:
    """Make a network without memory for its weights, and stop as soon as it has far more than a folder holds.

    Args:
        make: makes it.
        tensors: its weights.
        where: they come from, for people.
        name: of the network.

    Raises:
        RunError: when it has many more.
    """
    most_numbers = TIMES * sum(tensor.numel() for tensor in tensors.values()) + SPARE_NUMBERS
    most_tensors = TIMES * len(tensors) + SPARE_TENSORS
    numbers = count = 0

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers, count
        if parameter is not None:
            numbers, count = numbers + parameter.numel(), count + 1
        if numbers > most_numbers or count > most_tensors:
            raise _TooLargeError

    with ExitStack() as stack:
        hook = register_module_parameter_registration_hook(add)
        stack.callback(hook.remove)
        stack.enter_context(torch.device("meta"))
        try:
            make()
        except _TooLargeError:
            raise RunError(
                f"the weights of '{where}' do not fit its model '{name}', which has far more than the "
                f"{len(tensors)} tensors that are there."
            ) from None
        except Exception:  # it is made in earnest now, which says what is wrong
            return
