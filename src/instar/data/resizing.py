"""Resizing of batches of images by torch."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor


def resize_images(images: Tensor, height: int, width: int, mode: Literal["bilinear", "bicubic"]) -> Tensor:
    """Return images `[batch, channels, height, width]` in another size, with a filter that averages what it shrinks.

    Args:
        images: pixels (uint8) or floats, `[batch, channels, rows, columns]`.
        height: rows of the result.
        width: columns of the result.
        mode: filter.

    >>> import torch
    >>> resize_images(torch.full((1, 3, 2, 2), 7, dtype=torch.uint8), 1, 1, "bilinear").flatten().tolist()
    [7, 7, 7]
    """
    if height == width == 1:  # torch mistakes the axes of a single pixel of several channels
        found = F.interpolate(images.flatten(0, 1)[:, None], (1, 1), mode=mode, antialias=True)
        return found.view(*images.shape[:2], 1, 1)
    return F.interpolate(images, (height, width), mode=mode, antialias=True)
