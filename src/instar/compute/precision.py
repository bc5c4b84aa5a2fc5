"""The arithmetic of matrix products: a recorded choice, made apart for student and teacher.

| name | products of float32 matrices are computed in | used for |
|---|---|---|
| `float32` | float32, torch's default library | the reference |
| `float32-fast` | float32 by the faster library (oneDNN), or in bfloat16 or TF32 where units exist | CPUs without AMX |
| `bfloat16` | bfloat16 inputs, float32 accumulation and float32 master weights (autocast) | the fastest, with units |

Losses are always computed in float32. A device without units for bfloat16 emulates it, and takes several times as
long as for float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "float32-fast", "bfloat16"]


@contextmanager
def library(precision: Precision) -> Iterator[None]:
    """Use the matrix library of `precision` inside the context, in forward and backward, and restore it after.

    >>> with library("float32-fast"):
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
    """Return the context in which a forward pass casts the inputs of its matrix products."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def fastest(device: torch.device) -> Precision:
    """Return the fastest arithmetic of a device: `bfloat16` where it has units for it, otherwise `float32-fast`.

    >>> fastest(torch.device("cpu")) in ("bfloat16", "float32-fast")
    True
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.backends.mkldnn.is_available() and hasattr(torch.cpu, "get_capabilities")  # since torch 2.10
        units = torch.cpu.get_capabilities() if device.type == "cpu" and known else {}
        native = any(units.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    return "bfloat16" if native else "float32-fast"


def in_force(device: torch.device) -> Precision:
    """Return the arithmetic that products are made in now; any autocast is taken for that of `bfloat16`.

    >>> with autocast("bfloat16", torch.device("cpu")):
    ...     in_force(torch.device("cpu"))
    'bfloat16'
    """
    if torch.is_autocast_enabled(device.type):
        return "bfloat16"
    return "float32" if torch.get_float32_matmul_precision() == "highest" else "float32-fast"


def for_loss(values: Tensor) -> Tensor:
    """Return values in the type that losses are computed in; those in float64 stay as they are."""
    return values if values.dtype == torch.float64 else values.float()
