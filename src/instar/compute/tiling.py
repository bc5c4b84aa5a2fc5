"""Logits of many classes are worked on in tiles of rows: how large these are, and which rows they have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class TileBytes:
    """The most bytes in a tile.

    Args:
        cached: in a tile that is worked on in many small steps. It stays in the cache of a CPU, and is below what the
            allocator gives back.
        loss: of float32 logits in a tile of a loss; a term has up to seven such tensors at once. Every tile reads all
            weights of the layer, so it is as large as may be and still a block that the allocator keeps.
        accelerator_loss: the same on an accelerator, which must be given much to do at once.
    """

    cached: int = 2 << 20
    loss: int = 28 << 20
    accelerator_loss: int = 256 << 20


_DEFAULT = TileBytes()
_tile_bytes: ContextVar[TileBytes] = ContextVar("tile_bytes", default=_DEFAULT)


@contextmanager
def use_tile_bytes(**changes: int) -> Iterator[None]:
    """Use tiles of other sizes inside the context: smaller ones need less memory, and give the same numbers.

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
    """Return whether logits are more than a cached tile. Below, fewer kernels are worth more than fewer passes."""
    return logits.numel() * logits.element_size() > _tile_bytes.get().cached


def cached_tile_rows(logits: Tensor) -> int:
    """Return how many rows of logits `[rows, classes]` a cached tile has, at least one."""
    return max(1, _tile_bytes.get().cached // (logits.shape[1] * logits.element_size()))


def tiles_of(logits: Tensor, rows: int) -> list[slice]:
    """Return the rows of each tile, the last of which may have fewer.

    >>> tiles_of(torch.zeros(3, 10), 2)
    [slice(0, 2, None), slice(2, 4, None)]
    """
    return [slice(start, start + rows) for start in range(0, len(logits), rows)]


def exceeds_loss_tile(logits: Tensor) -> bool:
    """Return whether logits `[..., classes]` are more than a tile of a loss."""
    return logits.numel() > logits.shape[-1] * loss_tile_rows(logits.shape[-1], logits.device)


def loss_tile_rows(num_classes: int, device: torch.device) -> int:
    """Return how many examples a tile of a loss has, at least one."""
    sizes = _tile_bytes.get()
    most = sizes.loss if device.type == "cpu" else sizes.accelerator_loss
    return max(1, most // (4 * num_classes))
