"""Reader of images at a resolution of the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.checks import Count, checked
from instar.data.columns.held import INPUTS
from instar.errors import ConfigError, MismatchError
from instar.models.readers.reader import Reader

Size = tuple[int, int]
"""Height and width in pixels."""


@checked
@dataclass(frozen=True, repr=False)
class Pixels(Reader):
    """Resizes images, with the triangle filter that Pillow calls BILINEAR, and names mean and standard deviation.

    Args:
        size: height and width of the images that the network takes, or one number for both; None: those of the data.
        mean: mean of each channel of pixels 0..1; None: of the training samples.
        std: standard deviation of each channel of pixels 0..1; None: of the training samples.
        resize: "crop" resizes the shorter side and crops the centre; "squash" changes the aspect ratio; "letterbox"
            resizes the longer side and fills the rest with zeros.
        column: name of the column of the data that holds the images.

    Raises:
        ConfigError: when a size is not one or two numbers, or only one of mean and std is given.

    >>> Pixels(16).shape((3, 32, 48)), Pixels((16, 24))(torch.zeros(8, 3, 32, 48)).shape
    ((3, 16, 16), torch.Size([8, 3, 16, 24]))
    """

    size: Count | Sequence[Count] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    resize: Literal["crop", "squash", "letterbox"] = "crop"
    column: str = INPUTS

    def __post_init__(self) -> None:
        for name in ("size", "mean", "std"):  # lists of a configuration, which cannot be hashed
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list | tuple) else value)
        if isinstance(self.size, tuple) and len(self.size) != 2:
            raise ConfigError(f"Pixels(size) must be a number or (height, width), got {list(self.size)}.")
        if (self.mean is None) != (self.std is None):
            raise ConfigError("Pixels needs mean and std, or neither of them.")
        if self.mean is not None and self.std is not None and not _are_statistics(self.mean, self.std):
            raise ConfigError(
                f"Pixels(mean, std) must have one number per channel, std above 0; got {list(self.mean)} and "
                f"{list(self.std)}."
            )

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return images `[batch, channels, height, width]` in the size of the network, and in the dtype of `inputs`."""
        height, width = self._size(inputs.shape[2:])
        rows, columns = inputs.shape[2:]
        if (rows, columns) == (height, width):
            return inputs
        by_height, by_width = height / rows, width / columns
        if self.resize == "squash":
            return _resized(inputs, height, width)
        if self.resize == "crop":
            scale = max(by_height, by_width)
            tall, wide = max(height, round(rows * scale)), max(width, round(columns * scale))
            top, left = (tall - height) // 2, (wide - width) // 2
            return _resized(inputs, tall, wide)[..., top : top + height, left : left + width]
        scale = min(by_height, by_width)
        tall, wide = min(height, max(1, round(rows * scale))), min(width, max(1, round(columns * scale)))
        top, left = (height - tall) // 2, (width - wide) // 2
        return F.pad(_resized(inputs, tall, wide), (left, width - wide - left, top, height - tall - top))

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return (channels, height, width) of the images that the network takes.

        Raises:
            MismatchError: when the inputs are not images, or have another number of channels than `mean`.
        """
        if len(given) != 3:
            raise MismatchError(f"{self} reads images (channels, height, width), got inputs of shape {list(given)}.")
        if self.mean is not None and len(self.mean) not in (1, given[0]):
            raise MismatchError(f"{self} has means of {len(self.mean)} channels, and the images have {given[0]}.")
        return (given[0], *self._size(given[1:]))

    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Return mean and std `[channels, 1, 1]`; None if they are those of the data."""
        if self.mean is None or self.std is None:
            return None
        return torch.tensor(self.mean)[:, None, None], torch.tensor(self.std)[:, None, None]

    def _size(self, given: Sequence[int]) -> Size:
        if self.size is None:
            return given[0], given[1]
        return (self.size, self.size) if isinstance(self.size, int) else (self.size[0], self.size[1])


def _are_statistics(mean: Sequence[float], std: Sequence[float]) -> bool:
    return len(mean) == len(std) > 0 and min(std) > 0


def _resized(inputs: Tensor, height: int, width: int) -> Tensor:
    # on a CPU, whole numbers go through the arithmetic of Pillow; accelerators resize floats alone
    is_exact = inputs.dtype != torch.uint8 or inputs.device.type == "cpu"
    values = inputs if is_exact else inputs.float()
    found = F.interpolate(values, (height, width), mode="bilinear", antialias=True)
    return found if is_exact else found.round().clamp(0, 255).to(torch.uint8)
