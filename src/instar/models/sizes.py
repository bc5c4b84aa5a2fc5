"""Refusal of networks that are too large for this machine or for their weights, before memory is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from instar.errors import ConfigError, RunError

MAX_PARAMETER_TENSORS = 10_000
"""Most parameter tensors of a network, about ten times as many as the deepest published networks have."""

# a constructor may replace layers and share weights, so it may register more parameters than the network saves
MAX_SIZE_RATIO = 4
SPARE_NUMBERS = 1 << 20
SPARE_TENSORS = 100


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


def refuse_larger(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], where: str, name: str) -> None:
    """Build a network without allocating weights, and stop once it has far more parameters than the folder.

    Args:
        make: function that builds the network.
        tensors: weights in the folder.
        where: origin of the weights, for error messages.
        name: name of the network.

    Raises:
        RunError: when the network has far more parameters.
    """
    most_numbers = MAX_SIZE_RATIO * sum(tensor.numel() for tensor in tensors.values()) + SPARE_NUMBERS
    most_tensors = MAX_SIZE_RATIO * len(tensors) + SPARE_TENSORS
    numbers = count = 0

    def add(module: nn.Module, child: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers, count
        if parameter is not None:
            numbers, count = numbers + parameter.numel(), count + 1
        # tensors too, because a million layers of one unit hold few numbers, but take long to build
        if numbers > most_numbers or count > most_tensors:
            raise RunError(
                f"the weights of '{where}' do not fit its model '{name}', which has far more tensors than the "
                f"{len(tensors)} in the file."
            )

    # a hook sees each parameter while the constructor runs; afterwards it would be too late
    hook = register_module_parameter_registration_hook(add)
    try:
        with torch.device("meta"):
            make()
    except RunError:
        raise
    except Exception:  # the caller builds it again with weights, and reports what is wrong
        return
    finally:
        hook.remove()  # it is called for the modules of the whole process
