"""Refusal of networks that are too large for this machine, before memory is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from instar.errors import ConfigError

MAX_PARAMETER_TENSORS = 10_000
"""Most parameter tensors of a network, about ten times as many as the deepest published networks have."""


@contextmanager
def refuse_too_large(name: str) -> Iterator[None]:
    """Count the parameters that a constructor creates, and refuse more than the memory of this machine can hold.

    Args:
        name: name of the model, for the error message.

    Raises:
        ConfigError: before the tensor that exceeds the limit is created.

    >>> with refuse_too_large("mlp"):
    ...     torch.nn.Linear(64, 10**12)
    Traceback (most recent call last):
    instar.errors.ConfigError: model 'mlp' would have 64,000,000,000,000 parameters or more; this machine has no room.
    """
    with _Counted(name):
        yield


class _Counted(TorchFunctionMode):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.numbers, self.tensors = name, 0, 0
        self.allowed = _memory() // 4  # float32

    def __torch_function__(self, function: Any, kinds: Any, given: Any = (), named: Any = None) -> Any:
        if function is torch.empty:  # torch layers create their parameters with it
            self._count(given, named or {})
        return function(*given, **(named or {}))

    def _count(self, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        sizes = given or (named.get("size", ()),)
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
    """Return the memory of this machine in bytes; where the system does not tell, the size of its address space."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 2**47
