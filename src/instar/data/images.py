"""Images and other arrays of numbers: a column of them becomes arrays of one shape."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import DataError, shortened

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # Pillow's grey modes of more than 8 bits


def arrays(
    rows: Any, column: str, name: str, image_size: tuple[int, int] | None, *, colour: bool
) -> Iterator[NDArray[Any]]:
    """Yield the inputs of a split one by one: images as uint8 `[channels, height, width]`, all else as float32.

    Args:
        rows: of the split.
        column: of the inputs; images are not decoded yet, so that what is wrong can be told with the row and the file.
        name: of the split, for people.
        image_size: resize every image to (height, width).
        colour: make three channels of grey images too.

    Raises:
        DataError: with the row, and the file where there is one, when something cannot be decoded.
    """
    import datasets

    is_image = isinstance(rows.features[column], datasets.Image)
    for index, row in enumerate(rows.select_columns([column])):
        value = row[column]
        try:
            if value is None:
                raise ValueError("a value is missing")
            yield pixels_of(_opened(value), image_size, colour) if is_image else np.asarray(value, dtype=np.float32)
        except Exception as error:  # Pillow raises a dozen kinds, from SyntaxError to DecompressionBombError
            path = value.get("path") if is_image and value else None
            where = f"row {index}, file '{path}'" if path else f"row {index}"
            raise DataError(f"column '{column}' of '{name}', {where}, cannot be decoded: {shortened(error)}.") from None


def _opened(value: dict[str, Any]) -> Any:
    import datasets
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():  # Pillow warns of an image that is half as large as those it refuses
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            if value["bytes"] is None and Path(value["path"] or "").is_file():  # Pillow would leave it open on errors
                value = value | {"bytes": Path(value["path"]).read_bytes()}
            return datasets.Image().decode_example(value)
        except UnidentifiedImageError:  # which names an object in memory
            raise ValueError("it is no image of a known format") from None


def pixels_of(image: Any, image_size: tuple[int, int] | None = None, colour: bool = False) -> NDArray[Any]:
    """Return an image of Pillow as uint8 `[channels, height, width]`; with `colour`, three channels of grey ones too.

    Of 16 bits the upper 8 are kept; images of 32-bit numbers have no known range, so they stay as they are, as float32.
    """
    from PIL import Image

    mode = image.mode
    deep = mode in _DEEP  # Pillow would cut values above 255 to 255
    grey = deep or mode in ("1", "L")
    if not deep:
        image = image.convert("L" if grey else "RGB")
    if image_size is not None:
        image = image.resize((image_size[1], image_size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if deep:
        pixels = (pixels // 256).astype(np.uint8) if mode.startswith("I;16") else pixels.astype(np.float32)
    if not grey:
        return pixels.transpose(2, 0, 1)
    return np.repeat(pixels[None], 3, axis=0) if colour else pixels[None]
