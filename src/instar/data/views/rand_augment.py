"""Random operations of one strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from instar.checks import Layers, checked
from instar.data.views.color_jitter import require_pixels, scale_brightness, scale_contrast, scale_saturation
from instar.data.views.rotate import rotation
from instar.data.views.view import View
from instar.data.views.warp import warp_images
from instar.seeds import Draws

MAX_MAGNITUDE = 30
"""Magnitude of the strongest operations."""

Magnitude = Annotated[int, Field(ge=0, le=MAX_MAGNITUDE, description="a whole number from 0 to 30")]
Operation = Callable[[Tensor, Tensor], Tensor]
"""Changes pixels `[batch, channels, height, width]` by strengths in [-1, 1], `[batch]`."""


@checked
@dataclass(frozen=True)
class RandAugment(View):
    """Apply random operations of one magnitude, one after the other (Cubuk et al. 2020).

    Each is one of 14, equally likely: none, shear and translate along x or y, rotate, brightness, colour, contrast,
    sharpness, posterize, solarize, autocontrast and equalize. Ranges are those of torchvision, and the direction is
    random. Moved pixels are interpolated bilinearly, and zeros come from outside.

    Args:
        operations: number of operations for each image.
        magnitude: strength of the operations, where 30 is the strongest.

    >>> images = torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4)
    >>> RandAugment(1, 9)(images, Draws(seed=0, ids=torch.tensor([1]), view=0)).shape
    torch.Size([1, 3, 4, 4])
    """

    operations: Layers = 2
    magnitude: Magnitude = 9

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Change each image by its own operations."""
        require_pixels(inputs, "RandAugment")
        found = inputs.clone(memory_format=torch.contiguous_format)
        for number in range(self.operations):
            chosen = draws.below(len(OPERATIONS), f"operation {number}")
            strength = (2 * draws.below(2, f"direction {number}") - 1) * (self.magnitude / MAX_MAGNITUDE)
            for index, operation in enumerate(OPERATIONS):
                rows = (chosen == index).nonzero().flatten()
                if len(rows):
                    found[rows] = operation(found[rows], strength[rows])
        return found


def _keep(pixels: Tensor, strength: Tensor) -> Tensor:
    return pixels


def _shear_x(pixels: Tensor, strength: Tensor) -> Tensor:
    return warp_images(pixels, _matrix(strength, x_by_y=0.3))


def _shear_y(pixels: Tensor, strength: Tensor) -> Tensor:
    return warp_images(pixels, _matrix(strength, y_by_x=0.3))


def _translate_x(pixels: Tensor, strength: Tensor) -> Tensor:
    return warp_images(pixels, _matrix(strength, x=pixels.shape[3] * 150 / 331))


def _translate_y(pixels: Tensor, strength: Tensor) -> Tensor:
    return warp_images(pixels, _matrix(strength, y=pixels.shape[2] * 150 / 331))


def _rotate(pixels: Tensor, strength: Tensor) -> Tensor:
    return warp_images(pixels, rotation(strength.double() * (torch.pi / 6)))


def _matrix(strength: Tensor, *, x_by_y: float = 0.0, y_by_x: float = 0.0, x: float = 0.0, y: float = 0.0) -> Tensor:
    """Return the identity plus `strength` times the given entries, `[batch, 2, 3]`."""
    change = torch.tensor([[0.0, x_by_y, x], [y_by_x, 0.0, y]], device=strength.device)
    return torch.eye(2, 3, device=strength.device) + strength.float()[:, None, None] * change


def _brightness(pixels: Tensor, strength: Tensor) -> Tensor:
    return _scale(scale_brightness, pixels, strength)


def _colour(pixels: Tensor, strength: Tensor) -> Tensor:
    return _scale(scale_saturation, pixels, strength)


def _contrast(pixels: Tensor, strength: Tensor) -> Tensor:
    return _scale(scale_contrast, pixels, strength)


def _scale(change: Callable[[Tensor, Tensor], None], pixels: Tensor, strength: Tensor) -> Tensor:
    values = pixels.float()
    change(values, 1 + 0.9 * strength.float())
    return values.round_().to(torch.uint8)


def _sharpness(pixels: Tensor, strength: Tensor) -> Tensor:
    # away from a smoothed image: weights 5 for a pixel and 1 for each of its eight neighbours; the edge stays
    values = pixels.float()
    if min(values.shape[2:]) < 3:
        return pixels
    inner = values[..., 1:-1, 1:-1]
    smooth = ((9 * F.avg_pool2d(values, 3, 1) + 4 * inner) / 13).round_()
    factor = (1 + 0.9 * strength.float())[:, None, None, None]
    inner.copy_(factor * inner + (1 - factor) * smooth)
    return values.round_().clamp_(0, 255).to(torch.uint8)


def _posterize(pixels: Tensor, strength: Tensor) -> Tensor:
    dropped = (4 * strength.abs()).round().to(torch.uint8)[:, None, None, None]  # bits
    return (pixels >> dropped) << dropped


def _solarize(pixels: Tensor, strength: Tensor) -> Tensor:
    threshold = 255 * (1 - strength.abs().float())[:, None, None, None]
    return torch.where(pixels >= threshold, 255 - pixels, pixels)


def _autocontrast(pixels: Tensor, strength: Tensor) -> Tensor:
    low, high = pixels.amin((2, 3), keepdim=True).float(), pixels.amax((2, 3), keepdim=True).float()
    scaled = (pixels.float() - low) * (255 / (high - low).clamp(min=1))
    return torch.where(high > low, scaled.clamp_(0, 255).to(torch.uint8), pixels)


def _equalize(pixels: Tensor, strength: Tensor) -> Tensor:
    planes = pixels.flatten(0, 1).flatten(1).long()  # [batch * channels, pixels]
    counts = torch.zeros(len(planes), 256, dtype=torch.long, device=pixels.device)
    counts.scatter_add_(1, planes, torch.ones_like(planes))
    largest = counts.gather(1, planes.amax(1, keepdim=True))  # pixels of the largest value
    step = (planes.shape[1] - largest) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(0, 255)
    same = torch.arange(256, device=pixels.device)
    return torch.where(step > 0, table, same).gather(1, planes).to(torch.uint8).view(pixels.shape)


OPERATIONS: tuple[Operation, ...] = (
    _keep,
    _shear_x,
    _shear_y,
    _translate_x,
    _translate_y,
    _rotate,
    _brightness,
    _colour,
    _contrast,
    _sharpness,
    _posterize,
    _solarize,
    _autocontrast,
    _equalize,
)
"""The operations, in the order in which they are drawn."""
