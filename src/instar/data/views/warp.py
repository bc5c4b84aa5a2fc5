"""Affine maps of images, which rotations and shears are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp_images(inputs: Tensor, matrices: Tensor) -> Tensor:
    """Return images whose pixel at (x, y) is that of the input at A (x, y) + b, interpolated; zeros come from outside.

    Args:
        inputs: images `[batch, channels, height, width]`, uint8 or floats.
        matrices: A and b side by side, float32 `[batch, 2, 3]`, in pixels from the centre of the image.
    """
    height, width = inputs.shape[2:]
    x = torch.arange(width, device=inputs.device) - (width - 1) / 2
    y = torch.arange(height, device=inputs.device)[:, None] - (height - 1) / 2
    matrix = matrices[:, :, None, None, :]  # [batch, 2, 1, 1, 3]
    at = matrix[..., 0] * x + matrix[..., 1] * y + matrix[..., 2]  # [batch, 2, height, width]
    # grid_sample counts from -1 to 1, from one outer edge of the image to the other
    grid = torch.stack([at[:, 0] * (2 / width), at[:, 1] * (2 / height)], -1)
    values = inputs.float() if inputs.dtype == torch.uint8 else inputs
    found = F.grid_sample(values, grid.to(values.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.round_().clamp_(0, 255).to(torch.uint8) if inputs.dtype == torch.uint8 else found
