"""Decoding of a column of images or of lists of numbers."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.data.bad_files import BadFile
from instar.data.image_form import ImageForm
from instar.data.in_order import map_in_order
from instar.errors import DataError, shortened

AS_THEY_ARE = ImageForm()
"""Each image in its own size, and grey images with one channel."""

_IMAGE_SUFFIX = re.compile(r"\.(png|jpe?g|webp|bmp|gif|tiff?|p[pgb]m|avif)$", re.IGNORECASE)
_FIRST_TURNED_ORIENTATION = 5  # of the values of EXIF, from which on width and height are swapped
_SMALL_IMAGES_PER_PART = 16
_MAX_SMALL_IMAGE_BYTES = 32 << 10
_16_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")  # of grey, with the bytes in either order
_DEEP_GREY_MODES = (*_16_BIT_MODES, "I", "F")  # grey modes of Pillow with more than 8 bits

_Encoded = dict[str, Any] | None  # `path` and `bytes` of an image, or a missing value


def decode_images(rows: Any, column: str, form: ImageForm, bad: list[BadFile]) -> Iterator[NDArray[Any]]:
    """Yield the images of a split in order, `[channels, height, width]`, decoded by a thread for each core.

    Args:
        rows: rows of the split.
        column: column of images that are not decoded yet, so that errors can name row and file.
        form: size and channels of the images.
        bad: gets the images that cannot be decoded, in order; they are left out.
    """
    from PIL import Image

    mode = rows.features[column].mode  # a mode of Pillow that the data set asks for
    parts = _split_rows(rows.select_columns([column]), column)  # another column may hold what cannot be decoded

    def decode(part: list[tuple[int, _Encoded]]) -> list[NDArray[Any] | BadFile]:
        return [_decode_image(index, value, mode, form) for index, value in part]

    # all formats first: two threads that meet an unusual one would load its reader at once, and one would miss it
    Image.preinit()
    Image.init()
    with _large_images():  # around all threads, because they share the filters of warnings
        for found in chain.from_iterable(map_in_order(decode, parts)):
            if isinstance(found, BadFile):
                bad.append(found)
            else:
                yield found


def _split_rows(rows: Any, column: str) -> Iterator[list[tuple[int, _Encoded]]]:
    for start in range(0, len(rows), _SMALL_IMAGES_PER_PART):
        part: list[tuple[int, _Encoded]] = list(enumerate(rows[start : start + _SMALL_IMAGES_PER_PART][column], start))
        # several large images would take memory for each thread, and need no company to keep it busy
        is_small = all(value and len(value["bytes"] or "") in range(1, _MAX_SMALL_IMAGE_BYTES) for _, value in part)
        yield from [part] if is_small else [[one] for one in part]


def _decode_image(index: int, value: _Encoded, mode: str | None, form: ImageForm) -> NDArray[Any] | BadFile:
    try:
        if value is None:
            raise ValueError("a value is missing")
        return pixels_of(_open(value, mode), form)
    except MemoryError:  # the image may be sound
        raise
    except Exception as error:  # Pillow raises a dozen classes, from SyntaxError to DecompressionBombError
        return BadFile(index, (value or {}).get("path"), shortened(error))


def is_image_file(value: object) -> bool:
    """Return whether a value is a path that ends as image files do.

    >>> is_image_file("photos/a.JPG"), is_image_file("a.wav"), is_image_file(3)
    (True, False, False)
    """
    return isinstance(value, str | Path) and _IMAGE_SUFFIX.search(str(value)) is not None


def size_of(image: Any) -> tuple[int, int] | None:
    """Return width and height of an upright image in pixels, from its header alone; None if it has none.

    Args:
        image: image of Pillow, path, or bytes of a file.
    """
    from PIL import ExifTags, Image

    with suppress(Exception), _large_images():  # decoding names what is wrong
        if isinstance(image, bytes | str | Path):
            with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
                return size_of(opened)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        width, height = image.size
        # Pillow turns TIFF by itself, and says so in the size of its header
        is_turned = orientation >= _FIRST_TURNED_ORIENTATION and getattr(image, "format", None) != "TIFF"
        return (height, width) if is_turned else (width, height)
    return None


def smallest_side(rows: Any, column: str) -> int:
    """Return the smallest shorter side of the images of a split in pixels, from their headers alone.

    Images without a readable header are left out; 0 if no image has one.
    """
    values = (row[column] or {} for row in rows.select_columns([column]))
    sizes = (size_of(value.get("bytes") or value.get("path")) for value in values)
    return min((min(size) for size in sizes if size), default=0)


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
    for index, row in enumerate(rows.select_columns([column])):
        try:
            if row[column] is None:
                raise ValueError("a value is missing")
            yield np.asarray(row[column], dtype=dtype)
        except Exception as error:  # NumPy raises several classes
            where = f"column '{column}' of '{name}', row {index}"
            raise DataError(f"{where}, cannot be decoded: {shortened(error)}.") from None


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


def open_image(value: dict[str, Any], mode: str | None = None) -> Any:
    """Return a decoded image of Pillow, turned as its EXIF data say.

    Args:
        value: `path` of its file, or its content as `bytes`; the other one is None.
        mode: mode of Pillow to convert it to; None: its own.

    Raises:
        ValueError: when it has no known format; Pillow raises other classes for damaged images.
    """
    with _large_images():
        return _open(value, mode)


@contextmanager
def _large_images() -> Iterator[None]:
    from PIL import Image

    with warnings.catch_warnings():  # Pillow warns about images half as large as its limit
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _open(value: dict[str, Any], mode: str | None) -> Any:
    import datasets
    from PIL import UnidentifiedImageError

    try:
        # read here, because Pillow leaves a file open after an error
        if value["bytes"] is None and Path(value["path"] or "").is_file():
            value = value | {"bytes": Path(value["path"]).read_bytes()}
        return datasets.Image(mode=mode).decode_example(value)
    except UnidentifiedImageError:  # its message names an object in memory
        raise ValueError("it is not an image of a known format") from None


def pixels_of(image: Any, form: ImageForm = AS_THEY_ARE) -> NDArray[Any]:
    """Return a Pillow image as `[channels, height, width]`, as uint8 or, for 32-bit images, as float32.

    Transparent pixels are shown on white, as on paper. Images of 16 bits keep their upper 8 bits.

    >>> from PIL import Image
    >>> pixels_of(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).shape, pixels_of(Image.new("LA", (1, 1)))[:, 0, 0].tolist()
    ((3, 2, 2), [255, 255, 255])
    """
    mode = image.mode
    if mode in _16_BIT_MODES[1:]:  # Pillow resizes numbers of the other byte order as if they had this machine's
        image = _in_machine_order(image)
    deep = mode in _DEEP_GREY_MODES  # convert("L") would clip values above 255
    grey = deep or mode in ("1", "L")
    if not deep:  # the numbers of a palette are indices, and those of CMYK are inks
        opaque = _on_white(image) if image.has_transparency_data else image
        image = opaque.convert("L" if grey or form.channels == 1 else "RGB")
    pixels = np.asarray(form.fit(image))
    if deep:  # keep the upper 8 of 16 bits; 32-bit images have no known range, so they stay unscaled
        pixels = (pixels // 256).astype(np.uint8) if mode in _16_BIT_MODES else pixels.astype(np.float32)
        if not np.isfinite(pixels).all():  # floats of a measurement mark missing pixels with NaN
            raise ValueError("it has pixels that are NaN or infinite")
    if pixels.ndim == 3:
        return pixels.transpose(2, 0, 1)
    return np.repeat(pixels[None], 3, axis=0) if form.channels == 3 else pixels[None]


def _in_machine_order(image: Any) -> Any:
    from PIL import Image

    return Image.fromarray(np.asarray(image).astype(np.uint16))


def _on_white(image: Any) -> Any:
    # the colour of a transparent pixel is whatever its program left there, which nobody has seen
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
