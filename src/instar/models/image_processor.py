"""The image processor of a Transformers model as a reader."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from instar.errors import ConfigError
from instar.foreign import from_pretrained
from instar.models.readers.comparison import Picture, find_reader, make_picture
from instar.models.readers.pixels import Pixels

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""Files that a folder has where it has an image processor."""

_FILTERS = {2: "bilinear", 3: "bicubic"}


def processor_reader(path: str) -> Pixels | None:
    """Return a reader that does what the image processor of a model does; None for a folder without a processor.

    Both are compared on a few pictures, because the settings of a processor mean what its class makes of them.

    Raises:
        ConfigError: when transformers cannot load it, or `Pixels` cannot do the same.
    """
    # a Hub id cannot be looked at without a request, so Transformers is asked
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in PROCESSOR_FILES):
        return None
    processor = from_pretrained("AutoImageProcessor", path, "the image processor of model")
    height, width = _process(processor, make_picture(48, 48)).shape[1:]
    reader = find_reader(partial(_process, processor), _candidates(processor, height, width))
    if reader is not None:
        return reader
    raise ConfigError(
        f"the image processor of model '{path}' ({type(processor).__name__}) does something that Pixels(...) cannot "
        "express; give a reader that comes near with --reader (or --teacher-reader)."
    )


def _candidates(processor: Any, height: int, width: int) -> Iterator[Pixels]:
    size, given = _as_dict(getattr(processor, "size", None)), vars(processor) | _as_dict(processor.to_dict())
    normalises = given.get("do_normalize", False)
    mean = _numbers(given["image_mean"]) if normalises else [0.0, 0.0, 0.0]
    std = _numbers(given["image_std"]) if normalises else [1.0, 1.0, 1.0]
    resample = _FILTERS.get(int(given.get("resample") or 2), "bilinear")
    shared: dict[str, Any] = {"resample": resample, "arithmetic": "pillow"}
    both = height if height == width else (height, width)
    yield Pixels(both, mean, std, "squash", **shared)
    yield Pixels(both, mean, std, "crop", **shared)
    # ConvNext and others resize to a larger picture, which a share gives
    shorter = size.get("shortest_edge") or min(size.get("height") or 0, size.get("width") or 0)
    for edge in dict.fromkeys((shorter, int(shorter / (given.get("crop_pct") or 1)))):
        if edge > max(height, width):
            yield Pixels(both, mean, std, "crop", edge, **shared)


def _process(processor: Any, picture: Picture) -> Tensor:
    from PIL import Image

    try:
        found: Tensor = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    except Exception as error:  # a processor of another kind, such as one of videos
        raise ConfigError(f"{type(processor).__name__} does not read single images: {error}.") from None
    return found.squeeze(0)


def _as_dict(value: Any) -> dict[str, Any]:
    return dict(value) if value is not None and hasattr(value, "keys") else dict(vars(value)) if value else {}


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in (values if isinstance(values, list | tuple) else [values])]
