"""Resizing of pixels with the very arithmetic of Pillow, on any device."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Filter = Literal["bilinear", "bicubic"]

WEIGHT_BITS = 22
"""Bits after the point of Pillow's weights, which are whole numbers."""

MIN_COMPARED_PIXELS = 64
"""Pixels that tell the order of two passes; about a fifth of them depends on it."""

_REACHES: dict[Filter, float] = {"bilinear": 1.0, "bicubic": 2.0}  # pixels on either side of the centre
_BICUBIC_SLOPE = -0.5


def resize_as_pillow(pixels: Tensor, height: int, width: int, resample: Filter) -> Tensor:
    """Return images in another size, each pixel equal to that of Pillow's `Image.resize`.

    Torch rounds the weights of a filter to fewer bits on a CPU, and not at all elsewhere, so its pixels differ by a
    level or two of 255. This takes about four times as long.

    Args:
        pixels: uint8 `[batch, channels, rows, columns]`.
        height: rows of the result in pixels.
        width: columns of the result in pixels.
        resample: filter, which averages the pixels that it shrinks.

    >>> from PIL import Image
    >>> picture = Image.linear_gradient("L")
    >>> pixels = torch.from_numpy(np.asarray(picture).copy())[None, None]
    >>> found = resize_as_pillow(pixels, 33, 47, "bicubic")[0, 0]
    >>> np.array_equal(found, picture.resize((47, 33), Image.Resampling.BICUBIC))
    True
    """
    rows, columns = pixels.shape[2:]
    if _takes_rows_first((rows, columns), (height, width), resample):
        return _resize_columns(_resize_rows(pixels, height, resample), width, resample)
    return _resize_rows(_resize_columns(pixels, width, resample), height, resample)


@lru_cache(maxsize=256)
def _takes_rows_first(given: tuple[int, int], wanted: tuple[int, int], resample: Filter) -> bool:
    # Pillow rounds between its passes, and newer versions choose their order by the sizes, so it is asked
    if given[0] == wanted[0] or given[1] == wanted[1]:
        return False
    from PIL import Image

    count = math.ceil(MIN_COMPARED_PIXELS / math.prod(wanted))
    noise = np.random.default_rng(0).integers(0, 256, (count, *given), dtype=np.uint8)
    filter_of = Image.Resampling[resample.upper()]
    resized = [Image.fromarray(picture).resize(wanted[::-1], filter_of) for picture in noise]
    expected = np.stack([np.asarray(picture) for picture in resized])
    found = _resize_columns(_resize_rows(torch.from_numpy(noise)[:, None], wanted[0], resample), wanted[1], resample)
    return np.array_equal(found[:, 0].numpy(), expected)


def _resize_columns(pixels: Tensor, wanted: int, resample: Filter) -> Tensor:
    # as rows, which torch gathers faster
    return _resize_rows(pixels.transpose(2, 3), wanted, resample).transpose(2, 3).contiguous()


def _resize_rows(pixels: Tensor, wanted: int, resample: Filter) -> Tensor:
    given = pixels.shape[2]
    if given == wanted:
        return pixels
    places, weights = _weigh(given, wanted, resample, pixels.device)
    pixels = pixels.contiguous()
    shape = (*pixels.shape[:2], wanted, pixels.shape[3])
    sums = torch.full(shape, 1 << (WEIGHT_BITS - 1), dtype=torch.int32, device=pixels.device)  # a half, to round
    for place, weight in zip(places, weights, strict=True):
        sums.addcmul_(pixels.index_select(2, place).int(), weight)
    return sums.bitwise_right_shift_(WEIGHT_BITS).clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=64)
def _weigh(given: int, wanted: int, resample: Filter, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return rows that are averaged, `[taps, wanted]`, and their weights in units of 2^-22, `[taps, wanted, 1]`."""
    scale = given / wanted
    stretch = max(scale, 1.0)
    reach = _REACHES[resample] * stretch
    centres = (torch.arange(wanted, dtype=torch.float64)[:, None] + 0.5) * scale
    first = (centres - reach + 0.5).trunc().clamp(min=0)
    last = (centres + reach + 0.5).trunc().clamp(max=given)
    places = first + torch.arange(int((last - first).max()))
    shares = _filter((places - centres + 0.5) * (1 / stretch), resample) * (places < last)
    shares = shares / shares.cumsum(1)[:, -1:]  # added one after another, so that the last bits are those of Pillow
    whole = (shares * 2**WEIGHT_BITS + torch.where(shares < 0, -0.5, 0.5)).trunc()
    indices = places.clamp(max=given - 1).long()
    return indices.T.contiguous().to(device), whole.int().T[..., None].contiguous().to(device)


def _filter(distances: Tensor, resample: Filter) -> Tensor:
    x, a = distances.abs(), _BICUBIC_SLOPE
    if resample == "bilinear":
        return (1 - x).clamp(min=0)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
