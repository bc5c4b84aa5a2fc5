"""Random windows of padded images, which crops and shifts take."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.errors import ConfigError
from instar.seeds import Draws

MIN_SINGLE_BYTES = 1 << 14
"""Size from which pixels of an image are copied on their own: they stay in the cache of a CPU from copy to copy."""


def take_random_windows(inputs: Tensor, padding: int, mode: Literal["reflect", "zero"], draws: Draws) -> Tensor:
    """Return for each image a random window of its own size in the image padded by `padding` pixels.

    Args:
        inputs: images `[batch, channels, height, width]`.
        padding: pixels on each side.
        mode: "reflect" mirrors the image at its edge, without the edge; "zero" fills with zeros.
        draws: random numbers of the batch.

    Raises:
        ConfigError: when the image is too small to be reflected so far.
    """
    batch, channels, height, width = inputs.shape
    if mode == "reflect":
        for size in (height, width):
            _refuse_small(size, padding)
    places = 2 * padding + 1
    top, left = draws.below(places, "row"), draws.below(places, "column")
    if is_large(inputs):
        return _take_one_by_one(inputs, (top - padding).tolist(), (left - padding).tolist(), mode)
    if mode == "reflect":
        padded, lines = _reflect_columns(inputs, padding), _reflect_index(height, padding, inputs.device)
    else:
        padded = F.pad(inputs, (padding,) * 4)
        lines = torch.arange(height + 2 * padding, device=inputs.device)
    # [batch, height]: the line of the padded image that each line of the window is taken from
    taken = lines[top[:, None] + torch.arange(height, device=inputs.device)]
    planes = torch.arange(batch * channels, device=inputs.device).view(batch, channels, 1) * padded.shape[2]
    begin = (planes + taken[:, None]) * padded.shape[3] + left[:, None, None]  # [batch, channels, height]
    # all runs of `width` pixels in memory, no copy; index_select copies each chosen one as a whole, and an index for
    # each pixel takes several times as long
    runs = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    return runs.index_select(0, begin.flatten()).view(inputs.shape)


def is_large(inputs: Tensor) -> bool:
    """Return whether images are pixels on a CPU that are faster to copy one by one."""
    is_pixels = inputs.dtype == torch.uint8 and inputs.device.type == "cpu"
    return is_pixels and inputs[:1].numel() >= MIN_SINGLE_BYTES


def _take_one_by_one(inputs: Tensor, downs: list[int], rights: list[int], mode: str) -> Tensor:
    """Return the window of each image that is moved down and right by so many pixels, up and left if negative."""
    height, width = inputs.shape[2:]
    make = torch.empty_like if mode == "reflect" else torch.zeros_like
    found = make(inputs, memory_format=torch.contiguous_format)
    # by NumPy, because torch has no strides below 0; without padding, because a window needs it at two sides at most
    for pixels, taken, down, right in zip(inputs.numpy(), found.numpy(), downs, rights, strict=True):
        ways = slice(None), slice(None, None, -1 if down < 0 else 1), slice(None, None, -1 if right < 0 else 1)
        image, window = pixels[ways], taken[ways]  # turned, so that the move is down and right
        down, right = min(abs(down), height), min(abs(right), width)  # noqa: PLW2901 (clipped)
        window[:, : height - down, : width - right] = image[:, down:, right:]
        if mode == "reflect":
            window[:, : height - down, width - right :] = image[:, down:, ::-1][..., 1 : right + 1]
            mirrored = image[:, ::-1][:, 1 : down + 1]
            window[:, height - down :, : width - right] = mirrored[..., right:]
            window[:, height - down :, width - right :] = mirrored[..., ::-1][..., 1 : right + 1]
    return found


def _reflect_columns(inputs: Tensor, padding: int) -> Tensor:
    # rows are reflected by their index alone; F.pad reflects no integers, and pixels stay uint8
    width = inputs.shape[3]
    padded = inputs.new_empty((*inputs.shape[:3], width + 2 * padding))
    padded[..., padding : padding + width] = inputs
    padded[..., :padding] = inputs[..., 1 : padding + 1].flip(-1)
    padded[..., padding + width :] = inputs[..., width - padding - 1 : width - 1].flip(-1)
    return padded


def _reflect_index(size: int, padding: int, device: torch.device) -> Tensor:
    """Return the pixel indices of a line of `size` pixels, reflected by `padding` on both sides without the edge."""
    index = torch.arange(-padding, size + padding, device=device).abs()
    return torch.where(index < size, index, 2 * (size - 1) - index)


def _refuse_small(size: int, padding: int) -> None:
    if padding >= size:
        raise ConfigError(f"Crop(padding) must be below the image size {size} to reflect, got {padding}.")
