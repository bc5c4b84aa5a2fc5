"""Reader of images at a resolution of the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.checks import Count, checked
from instar.data.columns.held import INPUTS
from instar.data.image_form import advise_channels, size_before_crop
from instar.data.resizing import resize_images
from instar.errors import ConfigError, MismatchError
from instar.models.readers.pillow import resize_as_pillow
from instar.models.readers.reader import Reader

Size = tuple[int, int]
"""Height and width in pixels."""


@checked
@dataclass(frozen=True, repr=False)
class Pixels(Reader):
    """Resizes images, with the filters that Pillow calls BILINEAR and BICUBIC, and names mean and standard deviation.

    Args:
        size: height and width of the images that the network takes, or one number for both; None: those of the data.
        mean: mean of each channel of pixels 0..1; None: of the training samples.
        std: standard deviation of each channel of pixels 0..1; None: of the training samples.
        resize: "crop" resizes the shorter side and crops the centre; "squash" changes the aspect ratio; "letterbox"
            resizes the longer side and fills the rest with zeros.
        shorter: for "crop", pixels of the shorter side before the centre is cropped, as in 256 for 224; None: as few as
            hold the crop.
        resample: filter, "bilinear" or "bicubic".
        column: name of the column of the data that holds the images.
        odd_margin: place of a crop that cuts an odd number of pixels off: "down" rounds half of them down, as
            Transformers does, and "even" to the nearest even number, as torchvision and timm do.
        arithmetic: how pixels 0..255 are rounded: "torch", which is fast, or "pillow", whose pixels are equal to those
            of Pillow.

    Raises:
        ConfigError: when a size is not one or two numbers, or only one of mean and std is given.

    >>> Pixels(16).shape((3, 32, 48)), Pixels((16, 24))(torch.zeros(8, 3, 32, 48)).shape
    ((3, 16, 16), torch.Size([8, 3, 16, 24]))
    """

    size: Count | Sequence[Count] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    resize: Literal["crop", "squash", "letterbox"] = "crop"
    shorter: Count | None = None
    resample: Literal["bilinear", "bicubic"] = "bilinear"
    column: str = INPUTS
    odd_margin: Literal["down", "even"] = "down"
    arithmetic: Literal["torch", "pillow"] = "torch"

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std"):  # lists of a configuration, which cannot be hashed
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list | tuple) else value)
        if isinstance(self.size, tuple) and len(self.size) != 2:
            raise ConfigError(f"Pixels(size) must be a number or (height, width), got {list(self.size)}.")
        if self.shorter is not None and (self.resize != "crop" or self.shorter < max(self._size((1, 1)))):
            raise ConfigError(
                f"Pixels(shorter) is the shorter side before the centre is cropped, so it needs resize='crop' and at "
                f"least the size, got {self.shorter}."
            )
        if (self.mean is None) != (self.std is None):
            raise ConfigError("Pixels needs mean and std, or neither of them.")
        if self.mean is not None and self.std is not None and not _are_statistics(self.mean, self.std):
            raise ConfigError(
                f"Pixels(mean, std) must have one number per channel, std above 0; got {list(self.mean)} and "
                f"{list(self.std)}."
            )

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return images `[batch, channels, height, width]` in the size of the network, and in the dtype of `inputs`.

        Raises:
            MismatchError: when mean or std are those of pixels 0..255.
        """
        if inputs.dtype == torch.uint8 and max((*(self.mean or ()), *(self.std or ())), default=0) > 1:
            raise MismatchError(
                f"{self} must have the mean and std of pixels 0..1; those of pixels 0..255 are to be divided by 255."
            )
        height, width = self._size(inputs.shape[2:])
        rows, columns = inputs.shape[2:]
        if (rows, columns) == (height, width):
            return inputs
        if self.resize == "squash":
            return self._resized(inputs, height, width)
        if self.resize == "crop":
            covered = (self.shorter, self.shorter) if self.shorter else (height, width)
            tall, wide = size_before_crop((rows, columns), covered)
            top, left = self._half(tall - height), self._half(wide - width)
            return self._resized(inputs, tall, wide)[..., top : top + height, left : left + width]
        scale = min(height / rows, width / columns)
        tall, wide = min(height, max(1, round(rows * scale))), min(width, max(1, round(columns * scale)))
        top, left = (height - tall) // 2, (width - wide) // 2
        return F.pad(self._resized(inputs, tall, wide), (left, width - wide - left, top, height - tall - top))

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return (channels, height, width) of the images that the network takes.

        Raises:
            MismatchError: when the inputs are not images, or have another number of channels than `mean`.
        """
        if len(given) != 3:
            raise MismatchError(f"{self} reads images (channels, height, width), got inputs of shape {list(given)}.")
        if self.mean is not None and len(self.mean) not in (1, given[0]):
            advice = advise_channels(len(self.mean), given[0])
            raise MismatchError(
                f"{self} has means of {len(self.mean)} channels, and the images have {given[0]}{advice}."
            )
        height, width = self._size(given[1:])
        if self.shorter not in (None, height, width) and tuple(given[1:]) == (height, width):  # as if read already
            raise MismatchError(
                f"{self} cuts the centre out of larger images, and these have {height} x {width} pixels already; set "
                f"data.image_size to {self.shorter} or more, or leave out 'shorter'."
            )
        return (given[0], height, width)

    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Return mean and std `[channels, 1, 1]`; None if they are those of the data."""
        if self.mean is None or self.std is None:
            return None
        return torch.tensor(self.mean)[:, None, None], torch.tensor(self.std)[:, None, None]

    def without_statistics(self) -> Pixels:
        """Return the reader that resizes like this one, and takes the statistics of the data."""
        return self if self.mean is None else replace(self, mean=None, std=None)

    def _half(self, margin: int) -> int:
        # a margin of 3 pixels is cut into 1 and 2, or into 2 and 1
        return margin // 2 + (self.odd_margin == "even" and margin % 4 == 3)

    def _size(self, given: Sequence[int]) -> Size:
        if self.size is None:
            return given[0], given[1]
        return (self.size, self.size) if isinstance(self.size, int) else (self.size[0], self.size[1])

    def _resized(self, inputs: Tensor, height: int, width: int) -> Tensor:
        rows = inputs.shape[2]
        if inputs.shape[2:] == (height, width):
            return inputs
        if inputs.dtype == torch.uint8 and self.arithmetic == "pillow":
            return resize_as_pillow(inputs, height, width, self.resample)
        # on a CPU, torch rounds whole numbers nearly as Pillow does
        if inputs.dtype != torch.uint8 or inputs.device.type == "cpu":
            return resize_images(inputs, height, width, self.resample)
        # accelerators resize floats alone; Pillow rounds between its passes, and cuts what a bicubic filter overshoots
        wide = _as_pixels(resize_images(inputs.float(), rows, width, self.resample))
        return _as_pixels(resize_images(wide, height, width, self.resample)).to(torch.uint8)


def _as_pixels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255)


def _are_statistics(mean: Sequence[float], std: Sequence[float]) -> bool:
    return len(mean) == len(std) > 0 and min(std) > 0
