"""The form that all images of a data set get: their size, how they are resized, and their channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from instar.config import DataConfig, Resize
from instar.errors import ConfigError

MAX_PIXELS = 178_956_970
"""Most pixels of a resized image, as many as Pillow decodes."""

MAX_CHOSEN_SIDE_PIXELS = 224
"""Largest side to which images of several sizes are resized unless data.image_size says otherwise."""


def size_before_crop(given: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of an image that is resized to cover a crop and keeps its proportions.

    The longer side is rounded down, as torchvision and Transformers do, so that data, readers and the processors of
    both see the same part of an image.

    Args:
        given: height and width of the image in pixels.
        wanted: height and width of the crop in pixels.

    >>> size_before_crop((30, 47), (20, 20))
    (20, 31)
    """
    (rows, columns), (height, width) = given, wanted
    # numerator and denominator, because a factor would be rounded itself
    share, of = (height, rows) if height * columns > width * rows else (width, columns)
    return max(height, int(share * rows / of)), max(width, int(share * columns / of))


def advise_channels(wanted: int, given: int) -> str:
    """Return the end of a sentence that says how images get the channels of a model; nothing where no setting does.

    >>> advise_channels(3, 1), advise_channels(4, 1)
    ('; set data.channels=3 to read all images as RGB', '')
    """
    if {wanted, given} != {1, 3}:
        return ""
    return f"; set data.channels={wanted} to read all images as {'RGB' if wanted == 3 else 'grey'}"


@dataclass(frozen=True)
class ImageForm:
    """Size and channels of all images of a data set.

    Args:
        size: height and width in pixels; None: each image keeps its own.
        resize: "crop" resizes the shorter side and crops the centre; "squash" changes the aspect ratio; "letterbox"
            resizes the longer side and fills the rest with zeros (black).
        channels: 1 (grey) or 3 (RGB); None: grey images keep one channel.

    >>> from PIL import Image
    >>> ImageForm((4, 4), "crop").fit(Image.new("L", (9, 6))).size
    (4, 4)
    """

    size: tuple[int, int] | None = None
    resize: Resize = "squash"
    channels: Literal[1, 3] | None = None

    @classmethod
    def of(cls, config: DataConfig) -> Self:
        """Return the form that the settings ask for: a number is cropped to, and a pair squashed to, unless told.

        Raises:
            ConfigError: when images would have more than `MAX_PIXELS`.

        >>> ImageForm.of(DataConfig(source="a/b", image_size=32))
        ImageForm(size=(32, 32), resize='crop', channels=None)
        >>> ImageForm.of(DataConfig(source="a/b", image_size=(32, 48))).resize
        'squash'
        """
        size = config.image_size
        usual: Resize = "squash" if isinstance(size, tuple) else "crop"
        pair = (size, size) if isinstance(size, int) else size
        if pair is not None and pair[0] * pair[1] > MAX_PIXELS:
            raise ConfigError(
                f"data.image_size must have at most {MAX_PIXELS:,} pixels, got {pair[0]:,} x {pair[1]:,}."
            )
        return cls(pair, config.resize or usual, config.channels)

    def fit(self, image: Any) -> Any:
        """Return an image of Pillow in this size, resized with Pillow's BILINEAR, which averages what it shrinks.

        Raises:
            ValueError: when the image is so narrow that it would have more than `MAX_PIXELS` before the crop.
        """
        from PIL import Image

        if self.size is None or (image.height, image.width) == self.size:
            return image
        height, width = self.size
        if self.resize == "squash":
            return image.resize((width, height), Image.Resampling.BILINEAR)
        if self.resize == "crop":
            tall, wide = size_before_crop((image.height, image.width), self.size)
            if tall * wide > MAX_PIXELS:
                raise ValueError(
                    f"it is too narrow: its {image.height:,} x {image.width:,} pixels would become {tall:,} x {wide:,} "
                    "before the crop; squash and letterbox have no such limit"
                )
            top, left = (tall - height) // 2, (wide - width) // 2
            whole = image.resize((wide, tall), Image.Resampling.BILINEAR)
            return whole.crop((left, top, left + width, top + height))
        scale = min(height / image.height, width / image.width)
        tall = min(height, max(1, round(image.height * scale)))
        wide = min(width, max(1, round(image.width * scale)))
        boxed = Image.new(image.mode, (width, height))  # zeros
        boxed.paste(image.resize((wide, tall), Image.Resampling.BILINEAR), ((width - wide) // 2, (height - tall) // 2))
        return boxed
