"""Refusal of networks that are too large for this machine, before memory is allocated."""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from instar.errors import ConfigError

MAX_PARAMETER_TENSORS = 10_000
"""Most parameter tensors of a network, about ten times as many as the deepest published networks have."""


class ParameterLimit(TorchFunctionMode):
    """A context that counts the parameters that constructors create, and refuses more than this machine can hold.

    Args:
        name: name of the model, for the error message.

    Raises:
        ConfigError: before the tensor that exceeds the limit is created.

    >>> with ParameterLimit("mlp"):
    ...     torch.nn.Linear(64, 10**12)
    Traceback (most recent call last):
    instar.errors.ConfigError: model 'mlp' would have 64,000,000,000,000 parameters or more; this machine has no room.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.numbers, self.tensors = name, 0, 0
        self.allowed = _memory() // 4  # bytes of a float32

    def __torch_function__(self, function: Any, kinds: Any, given: Any = (), named: Any = None) -> Any:
        if function is torch.empty:  # torch layers create their parameters with it
            self._count(given, named or {})
        return function(*given, **(named or {}))

    def _count(self, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        sizes = given or (named.get("size", ()),)
        # torch.empty(2, 3) and torch.empty((2, 3)) are the same
        shape = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
        self.numbers += math.prod(shape)
        self.tensors += 1
        if self.numbers > self.allowed:
            raise ConfigError(
                f"model '{self.name}' would have {self.numbers:,} parameters or more; this machine has no room."
            )
        if self.tensors > MAX_PARAMETER_TENSORS:
            raise ConfigError(
                f"model '{self.name}' would have more than {MAX_PARAMETER_TENSORS:,} tensors of parameters."
            )


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # this system does not tell: the size of an address space
        return 2**47
