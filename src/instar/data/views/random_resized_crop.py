"""Random parts of an image, resized to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.checks import Count, Positive, checked
from instar.data.resizing import resize_images
from instar.data.views.view import View, require_images
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws

NUM_ATTEMPTS = 10
"""Boxes that are drawn for each image; an image that none of them fits into is cropped at its centre."""

Share = Annotated[float, Field(gt=0, le=1, description="above 0 and at most 1")]


@checked
@dataclass(frozen=True)
class RandomResizedCrop(View):
    """Crop a random box, and resize it: the standard augmentation of ImageNet (Szegedy et al. 2015, section 6).

    With area a = s H W for s uniform in `scale`, and aspect ratio r log-uniform in `ratio`, the box has
    sqrt(a r) x sqrt(a / r) pixels (width x height), and any place in the image is equally likely. Boxes that do not fit
    are drawn again. On a CPU, pixels are resized as Pillow's BILINEAR does it.

    Args:
        size: height and width of the result, or one number for both; None: those of the image.
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width / height of the box.

    Raises:
        ConfigError: when a size is not one or two numbers, or a range is not two numbers in ascending order.

    >>> images = torch.zeros(2, 3, 32, 48, dtype=torch.uint8)
    >>> RandomResizedCrop(24)(images, Draws(seed=0, ids=torch.tensor([4, 7]), view=0)).shape
    torch.Size([2, 3, 24, 24])
    """

    size: Count | Sequence[Count] | None = None
    scale: Sequence[Share] = (0.08, 1.0)
    ratio: Sequence[Positive] = (0.75, 4 / 3)

    def __post_init__(self) -> None:
        for name in ("size", "scale", "ratio"):  # lists of a configuration, which cannot be hashed
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list | tuple) else value)
        if isinstance(self.size, tuple) and len(self.size) != 2:
            raise ConfigError(f"RandomResizedCrop(size) must be a number or (height, width), got {list(self.size)}.")
        for name in ("scale", "ratio"):
            require_range(getattr(self, name), f"RandomResizedCrop({name})")

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Crop and resize each image by its own box."""
        require_images(inputs, "RandomResizedCrop")
        if inputs.dtype != torch.uint8 and not inputs.is_floating_point():
            raise MismatchError(f"RandomResizedCrop resizes pixels 0..255 or floats, got {inputs.dtype}.")
        height, width = self.shape(tuple(inputs.shape[1:]))[1:]
        boxes = draw_boxes(inputs.shape[2], inputs.shape[3], self.scale, self.ratio, draws)
        if inputs.device.type != "cpu":
            return _resize_by_weights(inputs, boxes, height, width)
        found = inputs.new_empty((*inputs.shape[:2], height, width))
        for row, (top, left, tall, wide) in enumerate(boxes.tolist()):
            # copied first, because resizing a strided box takes a third longer
            box = inputs[row : row + 1, :, top : top + tall, left : left + wide].contiguous()
            found[row : row + 1] = resize_images(box, height, width, "bilinear")
        return found

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return (channels, height, width) of the result for an image of the shape `given`."""
        if self.size is None:
            return given
        return (*given[:1], *((self.size, self.size) if isinstance(self.size, int) else self.size))


def require_range(values: Sequence[float], name: str) -> None:
    """Refuse a range that is not two numbers in ascending order.

    Raises:
        ConfigError: names the argument.
    """
    if len(values) != 2 or values[0] > values[1]:
        raise ConfigError(f"{name} must be two numbers, the smaller one first, got {list(values)}.")


def draw_boxes(height: int, width: int, scale: Sequence[float], ratio: Sequence[float], draws: Draws) -> Tensor:
    """Return a box (top, left, height, width) in pixels for each image, int64 `[batch, 4]`.

    Args:
        height: height of the images.
        width: width of the images.
        scale: range of the share of the area.
        ratio: range of width / height.
        draws: random numbers of the batch.
    """
    # [batch, attempts, 2], in [0, 1)
    drawn = (draws.table((NUM_ATTEMPTS, 2), "box") >> 10).double() / 2**53
    area = height * width * (scale[0] + drawn[..., 0] * (scale[1] - scale[0]))
    aspect = (math.log(ratio[0]) + drawn[..., 1] * (math.log(ratio[1]) - math.log(ratio[0]))).exp()
    wide, tall = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()  # [batch, attempts]
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.byte().argmax(1, keepdim=True)  # the first that fits, or attempt 0
    fitting = fits.any(1)
    # otherwise the largest box at the centre whose ratio is allowed
    widest = min(width, max(1, round(height * ratio[1])))
    tallest = min(height, max(1, round(width / ratio[0])))
    tall = torch.where(fitting, tall.gather(1, first)[:, 0], tallest)
    wide = torch.where(fitting, wide.gather(1, first)[:, 0], widest)
    places = (draws.table((2,), "place") >> 10).double() / 2**53
    top = torch.where(fitting, (places[:, 0] * (height - tall + 1)).long(), (height - tall) // 2)
    left = torch.where(fitting, (places[:, 1] * (width - wide + 1)).long(), (width - wide) // 2)
    return torch.stack([top, left, tall, wide], 1)


def _resize_by_weights(inputs: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    # an accelerator would be waited for if boxes were Python numbers; as two matrix products, no step knows their size
    top, left, tall, wide = boxes.float().unbind(1)
    by_rows = _triangle_weights(top, tall, inputs.shape[2], height)[:, None]  # [batch, 1, height, given height]
    by_columns = _triangle_weights(left, wide, inputs.shape[3], width)[:, None]
    values = by_rows @ inputs.float() @ by_columns.mT
    return values.round().clamp(0, 255).to(torch.uint8) if inputs.dtype == torch.uint8 else values.to(inputs.dtype)


def _triangle_weights(begin: Tensor, size: Tensor, given: int, wanted: int) -> Tensor:
    """Return the weights of `given` pixels in `wanted` resized ones, `[batch, wanted, given]`, as Pillow has them."""
    scale = (size / wanted)[:, None, None]
    pixels = torch.arange(given, device=begin.device) - begin[:, None, None]  # [batch, 1, given], from the box on
    centres = (torch.arange(wanted, device=begin.device)[:, None] + 0.5) * scale
    weights = (1 - (pixels + 0.5 - centres).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixels >= 0) & (pixels < size[:, None, None]))
    return weights / weights.sum(2, keepdim=True)
