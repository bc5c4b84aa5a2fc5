"""Logits of many classes are worked on in tiles of rows: how large these are, and which rows they have."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_CACHED_TILE_BYTES = 2 << 20
"""Bytes in a tile that is worked on in many small steps.

It stays in the cache of a CPU, and is below what the allocator gives back.
"""

MAX_LOSS_TILE_BYTES = 28 << 20
"""Bytes of float32 logits in a tile of a loss; a term has up to seven such tensors at once.

Every tile reads all weights of the layer, so it is as large as may be and still a block that the allocator keeps.
"""

MAX_ACCELERATOR_LOSS_TILE_BYTES = 256 << 20
"""The same on an accelerator, which must be given much to do at once."""


def exceeds_cached_tile(logits: Tensor) -> bool:
    """Return whether logits are more than a cached tile. Below, fewer kernels are worth more than fewer passes."""
    return logits.numel() * logits.element_size() > MAX_CACHED_TILE_BYTES


def cached_tile_rows(logits: Tensor) -> int:
    """Return how many rows of logits `[rows, classes]` a cached tile has, at least one."""
    return max(1, MAX_CACHED_TILE_BYTES // (logits.shape[1] * logits.element_size()))


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
    most = MAX_LOSS_TILE_BYTES if device.type == "cpu" else MAX_ACCELERATOR_LOSS_TILE_BYTES
    return max(1, most // (4 * num_classes))
