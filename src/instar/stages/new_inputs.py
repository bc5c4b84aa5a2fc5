"""New inputs for the model of a run: image files, images of Pillow and arrays, read as the run read its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.config import DataConfig, validate
from instar.data.any_source import ARRAYS_SOURCE
from instar.data.array_inputs import InputKind, read_inputs
from instar.data.array_values import is_image
from instar.data.given_images import as_images
from instar.data.given_recordings import as_recordings
from instar.data.image_form import ImageForm
from instar.data.images import open_image, pixels_of
from instar.errors import DataError, MismatchError, RunError, say, shortened
from instar.runs.run import Run
from instar.stages.run_data import describe_model

MAX_READ_IMAGES = 256
"""Images that are decoded at a time, so that any number of files fits into memory."""

MAX_LISTED_FILES = 5
"""Files that cannot be decoded and that an error names."""

_KINDS: dict[str, InputKind] = {"float32": "numbers", "int64": "tokens"}


@dataclass(frozen=True)
class InputReading:
    """How a run reads its inputs.

    Args:
        name: name of the run, for messages.
        shape: shape of one raw input.
        dtype: type of raw inputs, such as "uint8" for pixels; None: an older run did not record it.
        data: data settings of the run.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str | None
    data: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> InputReading:
        """Return the reading of a run, or of the members of an ensemble.

        Raises:
            RunError: when the run describes no model.
        """
        described = describe_model(run)
        if not described:
            raise RunError(f"'{run.path}' describes no model, because its members are missing; put them back.")
        return cls(f"'{run.path}'", tuple(described["input_shape"]), described["dtype"], run.config["data"])

    def read(self, given: Any) -> Iterator[Tensor]:
        """Yield raw inputs `[samples, *shape]` in parts.

        Args:
            given: one or several image files or images of Pillow, or an array `[samples, ...]`.

        Raises:
            DataError: when a file cannot be decoded, or an array cannot be read.
            MismatchError: when the model takes no images, or inputs of another shape or type.
        """
        items = as_items(given)
        if items is None:
            yield self._read_array(given)
            return
        self._refuse_images()
        for start in range(0, len(items), MAX_READ_IMAGES):
            yield self._read_images(items[start : start + MAX_READ_IMAGES])

    def _refuse_images(self) -> None:
        if self.dtype in ("int32", "int64") and len(self.shape) == 1:
            raise MismatchError(
                f"{self.name} takes tokens; give them as an array, with instar.predict in Python. A language model has "
                "no class for a whole text: call the model of instar.load, or its generate method."
            )
        # older runs recorded no dtype; those of arrays and digits may have been trained on any numbers
        has_pixels = self.dtype == "uint8" if self.dtype else self.data["source"] not in (ARRAYS_SOURCE, "digits")
        if len(self.shape) != 3 or self.shape[0] not in (1, 3) or not has_pixels:
            raise MismatchError(
                f"{self.name} takes inputs of shape {list(self.shape)} and type {self.dtype or 'unknown'}, which are "
                "not pixels of grey or RGB images; give its inputs as an array, with instar.predict in Python."
            )

    def _image_form(self) -> ImageForm:
        size = self.data.get("image_size") or self.shape[1:]  # the run's images may have had this size by themselves
        return ImageForm.of(validate(DataConfig, self.data | {"image_size": size, "channels": self.shape[0]}))

    def _read_images(self, items: Sequence[Any]) -> Tensor:
        found, failed, num_coloured, num_resized = [], [], 0, 0
        form = self._image_form()
        for item in items:
            try:
                if item is None:  # of a column with a missing value
                    raise ValueError("a value is missing")
                image = _turned(item) if is_image(item) else open_image({"path": os.fspath(item), "bytes": None})
                num_resized += (image.height, image.width) != tuple(self.shape[1:])
                if self.shape[0] == 1 and image.mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr", "HSV", "LAB"):
                    num_coloured += 1
                pixels = pixels_of(image, form)
                if pixels.dtype != np.uint8:
                    raise ValueError(f"its pixels are {pixels.dtype}, and the model takes uint8")
                found.append(torch.from_numpy(pixels.copy()))
            except Exception as error:  # Pillow raises a dozen classes
                failed.append(f"'{item}' ({shortened(_reason(item, error)).rstrip('.')})")
        if failed:
            more = len(failed) - MAX_LISTED_FILES
            told = ", ".join(failed[:MAX_LISTED_FILES]) + (f" and {more} more" if more > 0 else "")
            raise DataError(f"{len(failed)} of {len(items)} images cannot be read: {told}.")
        if num_coloured:
            say(f"instar: {num_coloured} colour images are read as grey, because {self.name} takes grey images.")
        if num_resized and not self.data.get("image_size"):  # the run has resized none of its own
            size = " x ".join(map(str, self.shape[1:]))
            say(
                f"instar: {num_resized} images of other sizes are squashed to {size} pixels, which all images of "
                f"{self.name} had."
            )
        return torch.stack(found)

    def _read_array(self, given: Any) -> Tensor:
        kind, recorded = _KINDS.get(self.dtype or ""), self.data.get("inputs")
        is_pixels = str(getattr(given, "dtype", "")).removeprefix("torch.") == "uint8"
        settings: dict[str, Any] = {
            # pixels 0..255 are no numbers, unless the run read them so
            "inputs": recorded or (None if is_pixels else kind),
            "layout": self.data.get("layout"),
        }
        held, _, _ = read_inputs({"inputs": given}, None, DataConfig(source=ARRAYS_SOURCE, **settings))
        inputs = held["inputs"].inputs
        dtype = str(inputs.dtype).removeprefix("torch.")
        if tuple(inputs.shape[1:]) != self.shape or dtype != (self.dtype or dtype):
            wanted = ", ".join(map(str, ("samples", *self.shape)))
            raise MismatchError(
                f"{self.name} takes arrays of shape [{wanted}] and type {self.dtype or 'unknown'}; "
                f"found shape {list(inputs.shape)} and type {dtype}. Images of other sizes can be given as files or "
                "images of Pillow."
            )
        return inputs


def as_items(given: Any) -> list[Any] | None:
    """Return files or images of Pillow, one or several, also in a column of a data frame, as a list; None for arrays.

    >>> as_items("a.png"), as_items(np.zeros((1, 2)))
    (['a.png'], None)
    """
    if isinstance(given, str | Path) or is_image(given):
        return [given]
    if isinstance(given, list | tuple) and given and all(isinstance(one, str | Path) or is_image(one) for one in given):
        return list(given)
    return as_images(given) or as_recordings(given)


def _turned(image: Any) -> Any:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)  # as its file would be


def _reason(item: Any, error: Exception) -> str:
    if item is None or is_image(item) or os.path.isfile(item):
        return str(error) or type(error).__name__
    return "it is a folder; give the files in it" if os.path.isdir(item) else "there is no such file"
