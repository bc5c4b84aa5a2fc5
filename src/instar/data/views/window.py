"""Random windows of padded images, which crops and shifts take."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.errors import ConfigError
from instar.seeds import Draws


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
        padded, lines = _reflect_columns(inputs, padding), _reflect_index(height, padding, inputs.device)
    else:
        padded = F.pad(inputs, (padding,) * 4)
        lines = torch.arange(height + 2 * padding, device=inputs.device)
    places = 2 * padding + 1
    top, left = draws.below(places, "row"), draws.below(places, "column")
    # [batch, height]: the line of the padded image that each line of the window is taken from
    taken = lines[top[:, None] + torch.arange(height, device=inputs.device)]
    planes = torch.arange(batch * channels, device=inputs.device).view(batch, channels, 1) * padded.shape[2]
    begin = (planes + taken[:, None]) * padded.shape[3] + left[:, None, None]  # [batch, channels, height]
    # all runs of `width` pixels in memory, no copy; index_select copies each chosen one as a whole, and an index for
    # each pixel takes several times as long
    runs = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    return runs.index_select(0, begin.flatten()).view(inputs.shape)


def _reflect_columns(inputs: Tensor, padding: int) -> Tensor:
    # rows are reflected by their index alone; F.pad reflects no integers, and pixels stay uint8
    width = inputs.shape[3]
    _reflect_index(width, padding, inputs.device)
    padded = inputs.new_empty((*inputs.shape[:3], width + 2 * padding))
    padded[..., padding : padding + width] = inputs
    padded[..., :padding] = inputs[..., 1 : padding + 1].flip(-1)
    padded[..., padding + width :] = inputs[..., width - padding - 1 : width - 1].flip(-1)
    return padded


def _reflect_index(size: int, padding: int, device: torch.device) -> Tensor:
    """Return the pixel indices of a line of `size` pixels, reflected by `padding` on both sides without the edge."""
    if padding >= size:
        raise ConfigError(f"Crop(padding) must be below the image size {size} to reflect, got {padding}.")
    index = torch.arange(-padding, size + padding, device=device).abs()
    return torch.where(index < size, index, 2 * (size - 1) - index)
