"""Random changes of brightness, contrast, saturation and hue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.checks import NonNegative, checked
from instar.data.views.view import View, require_images
from instar.errors import MismatchError
from instar.seeds import Draws

MAX_PART_BYTES = 1 << 18
"""Size of the pixels that a CPU changes at once: as floats, they stay in its cache."""

HueTurn = Annotated[float, Field(ge=0, le=0.5, description="from 0 to 0.5")]
GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


@checked
@dataclass(frozen=True)
class ColorJitter(View):
    """Multiply brightness, contrast and saturation by random factors, and turn the hue, in this order.

    For pixels x in 0..255, grey g = 0.299 R + 0.587 G + 0.114 B, and factors f uniform in [max(0, 1 - v), 1 + v]:
    brightness f x, contrast f x + (1 - f) mean(g), saturation f x + (1 - f) g, each clamped to 0..255. The hue turns by
    an angle uniform in [-hue, hue] of a full turn, as in HSV. Grey images keep saturation and hue.

    Args:
        brightness: largest change v of the brightness.
        contrast: largest change of the contrast.
        saturation: largest change of the saturation.
        hue: largest turn of the hue, where 0.5 is half a turn.

    >>> images = torch.full((1, 3, 2, 2), 100, dtype=torch.uint8)
    >>> ColorJitter(0.5, 0, 0, 0)(images, Draws(seed=0, ids=torch.tensor([2]), view=0))[0, :, 0, 0].tolist()
    [124, 124, 124]
    """

    brightness: NonNegative = 0.4
    contrast: NonNegative = 0.4
    saturation: NonNegative = 0.4
    hue: HueTurn = 0.1

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Change the colours of each image by its own factors."""
        require_pixels(inputs, "ColorJitter")
        factors = [
            _draw_factors(largest, draws, name) if largest else None
            for name, largest in (
                ("brightness", self.brightness),
                ("contrast", self.contrast),
                ("saturation", self.saturation),
            )
        ]
        turns = (2 * draws.uniform("hue").float() - 1) * self.hue if self.hue else None
        found = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        size = len(inputs)
        if inputs.device.type == "cpu":
            size = max(1, MAX_PART_BYTES // max(1, inputs[:1].numel()))
        for start in range(0, len(inputs), max(1, size)):
            rows = slice(start, start + size)
            values = inputs[rows].float()
            for change, factor in zip((scale_brightness, scale_contrast, scale_saturation), factors, strict=True):
                if factor is not None:
                    change(values, factor[rows])
            if turns is not None:
                turn_hue(values, turns[rows])
            # rounded, because a conversion drops what is behind the point; by 16 bits, in a third of the time
            found[rows] = values.add_(0.5).short()
        return found


def require_pixels(inputs: Tensor, name: str) -> None:
    """Refuse inputs that are not grey or RGB images with pixels 0..255.

    Raises:
        MismatchError: in one sentence.
    """
    require_images(inputs, name)
    if inputs.dtype != torch.uint8 or inputs.shape[1] not in (1, 3):
        raise MismatchError(
            f"view '{name}' changes grey or RGB images with pixels 0..255 (uint8), got {inputs.shape[1]} channels of "
            f"{inputs.dtype}; leave it out."
        )


def scale_brightness(values: Tensor, factors: Tensor) -> None:
    """Multiply pixels `[batch, channels, height, width]` (float32, 0..255) by `factors` `[batch]`, in place."""
    values.mul_(_spread(factors)).clamp_(0, 255)


def scale_contrast(values: Tensor, factors: Tensor) -> None:
    """Scale the differences of pixels from the mean grey of their image, in place."""
    # float64, because the order of a sum depends on the size of a batch, and so would the last bits of float32
    means = grey_of(values).sum(3).flatten(1).mean(1, dtype=torch.float64) / values.shape[3]
    values.mul_(_spread(factors)).add_(_spread(((1 - factors) * means).float())).clamp_(0, 255)


def scale_saturation(values: Tensor, factors: Tensor) -> None:
    """Scale the differences of pixels from their own grey, in place."""
    if values.shape[1] == 3:
        torch.lerp(grey_of(values), values, _spread(factors), out=values).clamp_(0, 255)


def turn_hue(values: Tensor, turns: Tensor) -> None:
    """Turn the hue of pixels by `turns` `[batch]` of a full turn, in place; value and saturation of HSV stay."""
    if values.shape[1] != 3:
        return
    red, green, blue = values.split(1, 1)
    largest, smallest = torch.maximum(red, green).maximum(blue), torch.minimum(red, green).minimum(blue)
    chroma = largest - smallest
    is_red, is_green = largest == red, largest == green
    # in sixths of a turn, from red on; grey has chroma 0, and stays whatever hue is found
    begin = _spread(6 * turns)
    hue = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    hue.div_(chroma.clamp(min=1e-6)).add_(torch.where(is_red, begin, torch.where(is_green, begin + 2, begin + 4)))
    hue.sub_((hue / 6).floor_().mul_(6))  # from 0 to 6; a remainder takes several times as long
    # red is smallest + chroma clamp(|hue - 3| - 1, 0, 1), the others smallest + chroma clamp(2 - |hue - c|, 0, 1)
    torch.addcmul(smallest - chroma, chroma, (hue - 3).abs_().clamp_(1, 2), out=red)
    base = smallest.add_(chroma, alpha=2)
    for channel, centre in ((green, 2), (blue, 4)):
        torch.addcmul(base, chroma, (hue - centre).abs_().clamp_(1, 2), value=-1, out=channel)


def grey_of(values: Tensor) -> Tensor:
    """Return the grey of pixels, `[batch, 1, height, width]`."""
    if values.shape[1] == 1:
        return values.clone()
    red, green, blue = values.split(1, 1)
    return torch.mul(red, GREY_WEIGHTS[0]).add_(green, alpha=GREY_WEIGHTS[1]).add_(blue, alpha=GREY_WEIGHTS[2])


def _draw_factors(largest: float, draws: Draws, stream: str) -> Tensor:
    low = max(0.0, 1 - largest)
    return low + draws.uniform(stream).float() * (1 + largest - low)


def _spread(values: Tensor) -> Tensor:
    return values[:, None, None, None]
