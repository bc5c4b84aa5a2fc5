"""Sizes and rows of the tiles in which logits of many classes are processed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class TileBytes:
    """Largest size of a tile in bytes.

    Args:
        cached: size of a tile that is processed in many small steps, and stays in the cache of a CPU.
        loss: size of the float32 logits in a tile of a loss; a term has up to seven such tensors at once.
        accelerator_loss: the same on an accelerator, which needs much work at once.
    """

    cached: int = 2 << 20  # the allocator returns larger blocks to the system outside a step
    # every tile reads all weights of the output layer: 1,024 words took 111 ms in tiles of 2 MiB and 64 ms in tiles of
    # 28 MiB. Beyond 32 MiB glibc maps each block separately, and a page fault per 4 KiB costs more than it gains
    loss: int = 28 << 20
    accelerator_loss: int = 256 << 20


_DEFAULT = TileBytes()
_tile_bytes: ContextVar[TileBytes] = ContextVar("tile_bytes", default=_DEFAULT)  # threads may differ


@contextmanager
def use_tile_bytes(**changes: int) -> Iterator[None]:
    """Use tiles of other sizes inside the context; smaller tiles need less memory.

    >>> with use_tile_bytes(cached=80):
    ...     cached_tile_rows(torch.zeros(100, 10))
    2
    """
    before = _tile_bytes.set(replace(_tile_bytes.get(), **changes))
    try:
        yield
    finally:
        _tile_bytes.reset(before)


def exceeds_cached_tile(logits: Tensor) -> bool:
    """Return whether logits are larger than a cached tile."""
    # smaller ones are computed whole: fewer kernels matter more than fewer passes over memory there
    return logits.numel() * logits.element_size() > _tile_bytes.get().cached


def cached_tile_rows(logits: Tensor) -> int:
    """Return the number of rows of a cached tile of logits `[rows, classes]`, at least one."""
    return max(1, _tile_bytes.get().cached // (logits.shape[1] * logits.element_size()))


def tiles_of(logits: Tensor, rows: int) -> list[slice]:
    """Return the rows of each tile; the last tile may have fewer.

    >>> tiles_of(torch.zeros(3, 10), 2)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]


def exceeds_loss_tile(logits: Tensor) -> bool:
    """Return whether logits `[..., classes]` are larger than a tile of a loss."""
    return logits.numel() > logits.shape[-1] * loss_tile_rows(logits.shape[-1], logits.device)


def loss_tile_rows(num_classes: int, device: torch.device) -> int:
    """Return the number of examples in a tile of a loss, at least one."""
    sizes = _tile_bytes.get()
    most = sizes.loss if device.type == "cpu" else sizes.accelerator_loss
    return max(1, most // (4 * num_classes))  # float32, whatever the precision of the product
