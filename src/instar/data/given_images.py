"""Images given in Python, as paths or as images of Pillow, decoded into arrays of one shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.config import DataConfig
from instar.data.array_values import as_pandas, is_image, is_table
from instar.data.bad_files import BadFile, refuse_bad_files
from instar.data.image_form import MAX_CHOSEN_SIDE_PIXELS, ImageForm
from instar.data.images import is_image_file, open_image, pixels_of, size_of
from instar.errors import DataError, InstarError, say, shortened


@dataclass(frozen=True)
class GivenImages:
    """Images of all splits as arrays.

    Args:
        arrays: pixels of each split, `[samples, channels, height, width]`.
        kept: places of the images that could be decoded, by split.
        told: how they were resized, for the line about the data.
        settings: data settings that decode images in the same way again.
    """

    arrays: Mapping[str, NDArray[Any]]
    kept: Mapping[str, list[int]]
    told: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def as_images(inputs: Any) -> list[Any] | None:
    """Return inputs as a list of paths and images of Pillow; None if they are something else.

    >>> as_images(["a.png", "b.jpg"]), as_images([0.5, 1.5])
    (['a.png', 'b.jpg'], None)
    """
    items = as_list(inputs)
    known = [item for item in items or () if item is not None]
    return items if known and all(is_image(item) or is_image_file(item) for item in known) else None


def as_list(inputs: Any) -> list[Any] | None:
    """Return a list, a column of a data frame or an array of objects or words as a list, None for missing values.

    None for anything else, such as an array of numbers.
    """
    inputs = as_pandas(inputs)
    if is_table(inputs) and inputs.shape[1] == 1:
        inputs = inputs.iloc[:, 0]
    is_column = hasattr(inputs, "iloc") and not is_table(inputs)
    is_array = isinstance(inputs, np.ndarray) and inputs.ndim == 1 and inputs.dtype.kind in "OU"
    if not is_column and not is_array and not (isinstance(inputs, Sequence) and not isinstance(inputs, str)):
        return None
    # pandas fills columns of texts with NaN
    items = [None if gone else item for item, gone in zip(inputs, inputs.isna(), strict=True)] if is_column else inputs
    return list(items)


def decode_given_images(items: Mapping[str, Sequence[Any]], config: DataConfig) -> GivenImages:
    """Decode the images of all splits, whose size and channels are chosen for all together.

    Args:
        items: paths, which are relative to the working directory, and images of Pillow, by split.
        config: settings of images.

    Raises:
        DataError: when images cannot be decoded, or some have 32 bits and others do not.
    """
    form, told, settings = ImageForm.of(config), "", {}
    if form.size is None and len(sizes := {size_of(item) for each in items.values() for item in each} - {None}) > 1:
        side = min(MAX_CHOSEN_SIDE_PIXELS, *(min(size) for size in sizes if size))
        form = replace(form, size=(side, side))
        told, settings = f", of several sizes, so resized to {side} x {side} ({form.resize})", {"image_size": side}
    bad: dict[str, list[BadFile]] = {split: [] for split in items}
    found = {split: _decode(each, form, bad[split]) for split, each in items.items()}
    if config.on_error == "refuse" or not all(found.values()):
        refuse_bad_files(bad, None, "images", "images")
    for split, images in bad.items():
        for image in images:
            say(f"instar: {image} of {split} is left out, because it cannot be decoded: {image.reason}.")
        told += f", without {len(images):,} of {split} that cannot be decoded" if images else ""
    pixels = [one for each in found.values() for one in each.values()]
    channels = max(len(one) for one in pixels)  # colour, if any image has it
    if len({one.dtype for one in pixels}) > 1:
        raise DataError("some given images have 32 bits, and others 8 or 16; convert them to one of these first.")
    arrays = {
        split: np.stack([np.repeat(one, channels // len(one), axis=0) for one in each.values()])
        for split, each in found.items()
    }
    return GivenImages(arrays, {split: list(each) for split, each in found.items()}, told, settings)


def shrunk(image: Any, config: DataConfig) -> Any:
    """Return a copy of an image of Pillow that takes little memory, if its size is known, and decodes alike.

    An image that cannot be decoded is returned as it is.
    """
    from PIL import Image

    try:
        if config.image_size is None:
            return image.copy()
        pixels = pixels_of(_turned(image), ImageForm.of(config))
    except InstarError:
        raise
    except Exception:  # Pillow raises a dozen classes; decoding all images names this one, or leaves it out
        return image
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)) if len(pixels) == 3 else pixels[0])


def _decode(items: Sequence[Any], form: ImageForm, bad: list[BadFile]) -> dict[int, NDArray[Any]]:
    found = {}
    for index, item in enumerate(items):
        try:
            if item is None:
                raise ValueError("a value is missing")
            image = _turned(item) if is_image(item) else open_image({"path": str(item), "bytes": None})
            found[index] = pixels_of(image, form)
        except MemoryError:  # the image may be sound
            raise
        except Exception as error:  # Pillow raises a dozen classes
            is_file = isinstance(item, str | Path)
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else shortened(error)
            bad.append(BadFile(index, str(item) if is_file else None, reason))
    return found


def _turned(image: Any) -> Any:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)  # as its file would be
