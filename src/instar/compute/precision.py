"""The arithmetic of matrix products, a recorded setting of the student and of the teacher.

| name | products of float32 matrices are computed in | use |
|---|---|---|
| `float32` | float32 with torch's default library | reference |
| `float32-fast` | float32 with the faster library (oneDNN), or bfloat16 or TF32 on hardware units | CPUs without AMX |
| `bfloat16` | bfloat16 inputs, float32 accumulation and master weights (autocast) | fastest with hardware units |

Losses are always computed in float32. A device without bfloat16 units emulates them, several times slower than
float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "float32-fast", "bfloat16"]


@contextmanager
def use_matmul_library(precision: Precision) -> Iterator[None]:
    """Use the matrix library of `precision` inside the context, in forward and backward passes; restore it afterwards.

    >>> with use_matmul_library("float32-fast"):
    ...     torch.get_float32_matmul_precision()
    'medium'
    >>> torch.get_float32_matmul_precision()
    'highest'
    """
    before = torch.get_float32_matmul_precision()
    wanted = "highest" if precision == "float32" else "medium"
    if wanted == before:
        yield
        return
    torch.set_float32_matmul_precision(wanted)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which a forward pass casts the inputs of matrix products."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def choose_fastest(device: torch.device) -> Precision:
    """Return the fastest precision of a device: `bfloat16` if it has hardware units, otherwise `float32-fast`.

    >>> choose_fastest(torch.device("cpu")) in ("bfloat16", "float32-fast")
    True
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)  # emulated, it is slower than float32
    else:
        known = torch.backends.mkldnn.is_available() and hasattr(torch.cpu, "get_capabilities")  # since torch 2.10
        units = torch.cpu.get_capabilities() if device.type == "cpu" and known else {}
        native = any(units.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    return "bfloat16" if native else "float32-fast"


def current_precision(device: torch.device) -> Precision:
    """Return the precision of the current context; any autocast counts as `bfloat16`.

    >>> with autocast("bfloat16", torch.device("cpu")):
    ...     current_precision(torch.device("cpu"))
    'bfloat16'
    """
    # read from torch rather than kept by us, because a user may have opened the context
    if torch.is_autocast_enabled(device.type):
        return "bfloat16"
    return "float32" if torch.get_float32_matmul_precision() == "highest" else "float32-fast"


def to_loss_dtype(values: Tensor) -> Tensor:
    """Return values as float32, in which losses are computed; float64 stays float64."""
    # a sum over 50,000 classes in half precision loses its small terms; float64 is for verifying gradients
    return values if values.dtype == torch.float64 else values.float()
