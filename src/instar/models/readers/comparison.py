"""Whether two ways of reading pictures are the same, found out on a few pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.models.readers.pixels import Pixels

MAX_DIFFERENCE_LEVELS, MIN_EQUAL_SHARE = 1.5, 0.95
"""Levels of 0..255 by which equal pixels differ at most, and how many must be equal.

Two ways to round a resized picture differ by one level, and versions of Pillow by more where a bicubic filter
overshoots, in up to 2% of the pixels of noise. Any other filter, crop or order of channels changes most of them.
"""

Picture = NDArray[np.uint8]
"""Pixels `[height, width, 3]`."""


def find_reader(process: Callable[[Picture], Tensor], candidates: Iterable[Pixels]) -> Pixels | None:
    """Return the first reader that reads as another program does; None if there is none.

    Args:
        process: returns the standardised input `[3, height, width]` that the other program makes of a picture.
        candidates: readers with mean and std.

    >>> find_reader(lambda picture: torch.from_numpy(picture).permute(2, 0, 1) / 255, [Pixels(4), Pixels()])
    Pixels(size=None, mean=None, std=None, resize='crop', shorter=None, resample='bilinear')
    """
    for reader in candidates:
        mean, std = reader.statistics() or (0.0, 1.0)
        pictures = [make_picture(*shape) for shape in choose_shapes(reader)]
        # in levels, so that the tolerance means the same for every standard deviation
        pairs = ((255 * (process(picture) * std + mean), read_picture(reader, picture)) for picture in pictures)
        if all(are_alike(*pair) for pair in pairs):
            return reader
    return None


def make_picture(height: int, width: int) -> Picture:
    """Return a picture of noise, whose pixels tell every filter and crop apart; always the same."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def choose_shapes(reader: Pixels) -> list[tuple[int, int]]:
    """Return heights and widths of pictures, of the reader's size, larger and smaller, upright and across."""
    height, width = reader(torch.zeros(1, 3, 32, 48)).shape[2:]
    # a reader that cuts a centre refuses pictures of its own size
    own = [] if reader.shorter else [(height, width)]
    # margins of one, two and three pixels more than a multiple of four, because programs round them differently
    base = max(height, width, reader.shorter or 0)
    odd = [(base, base + margin) for margin in (1, 2, 3)] + [(base + 3, base)]
    return [*own, *odd, (height + 9, 2 * width + 1), (2 * height + 3, width + 4), (height // 2 + 3, width // 2 + 3)]


def read_picture(reader: Pixels, picture: Picture) -> Tensor:
    """Return the pixels `[3, height, width]`, 0..255, that a reader makes of a picture."""
    return reader(torch.from_numpy(picture).permute(2, 0, 1)[None])[0]


def are_alike(wanted: Tensor, found: Tensor) -> bool:
    """Return whether two tensors of levels 0..255 are equal but for rounding."""
    if wanted.shape != found.shape:
        return False
    return bool(((wanted - found).abs() <= MAX_DIFFERENCE_LEVELS).float().mean() >= MIN_EQUAL_SHARE)
