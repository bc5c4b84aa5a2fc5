"""Decoding of a column of images or of lists of numbers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import DataError, shortened

_DEEP_GREY_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # grey modes of Pillow with more than 8 bits


def decode_images(
    rows: Any, column: str, name: str, image_size: tuple[int, int] | None, *, colour: bool
) -> Iterator[NDArray[Any]]:
    """Yield the images of a split one by one, `[channels, height, width]`.

    Args:
        rows: rows of the split.
        column: column of images that are not decoded yet, so that errors can name row and file.
        name: name of the split, for error messages.
        image_size: resize each image to (height, width).
        colour: return grey images with three channels too.

    Raises:
        DataError: when an image cannot be decoded; names the row, and the file if there is one.
    """
    mode = rows.features[column].mode  # a mode of Pillow that the data set asks for
    return _decode_each(rows, column, name, lambda value: pixels_of(open_image(value, mode), image_size, colour))


def decode_numbers(rows: Any, column: str, name: str) -> Iterator[NDArray[Any]]:
    """Yield the arrays of a split one by one, in the number type of the column.

    Args:
        rows: rows of the split.
        column: column of lists of numbers.
        name: name of the split, for error messages.

    Raises:
        DataError: when a list is ragged or has missing whole numbers; names the row.
    """
    dtype = number_type(rows.features[column])
    return _decode_each(rows, column, name, lambda value: np.asarray(value, dtype=dtype))


def number_type(feature: Any) -> np.dtype[Any] | None:
    """Return the number type of a column of lists; None for columns of anything else.

    >>> import datasets
    >>> number_type(datasets.List(datasets.Value("uint8"))), number_type(datasets.List(datasets.Value("string")))
    (dtype('uint8'), None)
    """
    import datasets

    if isinstance(feature, datasets.Value | datasets.ClassLabel):
        return None
    while hasattr(feature, "feature"):  # lists of lists
        feature = feature.feature
    name = str(getattr(feature, "dtype", ""))
    if name.startswith("decimal"):  # the cells are Python's Decimal, which NumPy has no type for
        return np.dtype(np.float64)
    return np.dtype(name) if re.fullmatch(r"bool|u?int\d+|float\d+", name) else None


def _decode_each(rows: Any, column: str, name: str, decode: Callable[[Any], NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for index, row in enumerate(rows.select_columns([column])):  # another column may hold what cannot be decoded
        value = row[column]
        try:
            if value is None:
                raise ValueError("a value is missing")
            yield decode(value)
        except Exception as error:  # Pillow raises a dozen classes, from SyntaxError to DecompressionBombError
            path = value.get("path") if isinstance(value, dict) else None
            where = f"row {index}, file '{path}'" if path else f"row {index}"
            raise DataError(f"column '{column}' of '{name}', {where}, cannot be decoded: {shortened(error)}.") from None


def open_image(value: dict[str, Any], mode: str | None = None) -> Any:
    """Return a decoded image of Pillow, turned as its EXIF data say.

    Args:
        value: `path` of its file, or its content as `bytes`; the other one is None.
        mode: mode of Pillow to convert it to; None: its own.

    Raises:
        ValueError: when it has no known format; Pillow raises other classes for damaged images.
    """
    import datasets
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():  # Pillow warns about images half as large as its limit
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            # read here, because Pillow leaves a file open after an error
            if value["bytes"] is None and Path(value["path"] or "").is_file():
                value = value | {"bytes": Path(value["path"]).read_bytes()}
            return datasets.Image(mode=mode).decode_example(value)
        except UnidentifiedImageError:  # its message names an object in memory
            raise ValueError("it is not an image of a known format") from None


def pixels_of(image: Any, image_size: tuple[int, int] | None = None, colour: bool = False) -> NDArray[Any]:
    """Return a Pillow image as `[channels, height, width]`, as uint8 or, for 32-bit images, as float32.

    With `colour`, grey images have three channels too.
    """
    from PIL import Image

    mode = image.mode
    deep = mode in _DEEP_GREY_MODES  # convert("L") would clip values above 255
    grey = deep or mode in ("1", "L")
    if not deep:  # the numbers of a palette are indices, and those of CMYK are inks
        image = image.convert("L" if grey else "RGB")
    if image_size is not None:
        image = image.resize((image_size[1], image_size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if deep:  # keep the upper 8 of 16 bits; 32-bit images have no known range, so they stay unscaled
        pixels = (pixels // 256).astype(np.uint8) if mode.startswith("I;16") else pixels.astype(np.float32)
    if not grey:
        return pixels.transpose(2, 0, 1)
    return np.repeat(pixels[None], 3, axis=0) if colour else pixels[None]
