"""Refusal of a described network that is far larger than the weights in its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from instar.errors import RunError

# a constructor may replace layers and share weights, so it may register more parameters than the network saves
MAX_SIZE_RATIO = 4
SPARE_NUMBERS = 1 << 20
SPARE_TENSORS = 100


class _TooLargeError(Exception):
    pass


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

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers, count
        if parameter is not None:
            numbers, count = numbers + parameter.numel(), count + 1
        # tensors too, because a million layers of one unit hold few numbers, but take long to build
        if numbers > most_numbers or count > most_tensors:
            raise _TooLargeError

    # a hook sees each parameter while the constructor runs; afterwards it would be too late
    hook = register_module_parameter_registration_hook(add)
    try:
        with torch.device("meta"):
            make()
    except _TooLargeError:
        raise RunError(
            f"the weights of '{where}' do not fit its model '{name}', which has far more tensors than the "
            f"{len(tensors)} in the file."
        ) from None
    except Exception:  # the caller builds it again with weights, and reports what is wrong
        return
    finally:
        hook.remove()  # it is called for the modules of the whole process
