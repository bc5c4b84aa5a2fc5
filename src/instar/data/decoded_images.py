"""Decoding of all images of a data set into arrays of one shape, one file per split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from instar.config import DataConfig
from instar.data.array_files import MixedColoursError, MixedSizesError, NoRowsError, write_inputs
from instar.data.image_form import MAX_CHOSEN_SIDE_PIXELS, ImageForm
from instar.data.images import BadImage, decode_images, smallest_side
from instar.errors import DataError

SKIPPED_FILE = "skipped.json"
"""File of a decoded copy with split, row, path and reason of every image that was left out."""

_MAX_LISTED_IMAGES = 5


def write_images(folder: Path, splits: Mapping[str, Any], column: str, config: DataConfig) -> dict[str, Any]:
    """Write the pixels of each split into a folder, `[samples, channels, height, width]`.

    Images have three channels if any image has colour, unless `config.channels` says otherwise.

    Args:
        folder: folder to write to.
        splits: rows by split, with images that are not decoded.
        column: column of the images.
        config: name of the data, and settings of images.

    Returns:
        `{"image_size": side}`, and nothing is written, if sizes differ and `config` names none: the smallest shorter
        side in pixels, at most `MAX_CHOSEN_SIDE_PIXELS`. `{"skipped": {split: [(row, path, reason)]}}` if images were
        left out. Otherwise nothing.

    Raises:
        DataError: when images cannot be decoded, with their paths, or some have 32 bits and others do not.
    """
    form = ImageForm.of(config)
    bad: dict[str, list[BadImage]] = {}
    # what images are is known only after the last one, and most data sets are all grey or all coloured, of one size
    while True:
        bad = {split: [] for split in splits}
        try:
            _write_splits(folder, splits, column, config.source, form, bad)
            break
        except MixedColoursError:
            form = replace(form, channels=3)
        except MixedSizesError:
            for split in splits:
                (folder / f"{split}.npy").unlink(missing_ok=True)
            sides = filter(None, (smallest_side(rows, column) for rows in splits.values()))
            return {"image_size": min(MAX_CHOSEN_SIDE_PIXELS, *sides)}
        except NoRowsError:  # all its images may be bad
            refuse_bad_images(bad, column, config.source)
            raise
    if config.on_error == "refuse":
        refuse_bad_images(bad, column, config.source)
    skipped = {split: [(each.row, each.path, each.reason) for each in found] for split, found in bad.items() if found}
    if skipped:
        (folder / SKIPPED_FILE).write_text(json.dumps(skipped, indent=1))
    return {"skipped": skipped} if skipped else {}


def _write_splits(
    folder: Path,
    splits: Mapping[str, Any],
    column: str,
    source: str,
    form: ImageForm,
    bad: Mapping[str, list[BadImage]],
) -> None:
    like, empty = None, None
    for split, rows in splits.items():
        found = decode_images(rows, column, form, bad[split])
        try:
            like = write_inputs(folder / f"{split}.npy", found, len(rows), f"{source} ({split})", like)
        except NoRowsError as error:  # after the other splits, so that all bad images are listed
            empty = error
    if empty is not None:
        raise empty


def refuse_bad_images(bad: Mapping[str, list[BadImage]], column: str | None, source: str) -> None:
    """Refuse data with images that cannot be decoded.

    Args:
        bad: these images by split.
        column: column of the images, if they have one.
        source: name of the data.

    Raises:
        DataError: when there are any; lists them.
    """
    found = [(split, each) for split, images in bad.items() for each in images]
    where = f"column '{column}' of " if column else ""
    if len(found) == 1:
        (split, one) = found[0]
        raise DataError(
            f"{where}'{source} ({split})', {one}, cannot be decoded: {one.reason}. Mend it, or set "
            "data.on_error=skip to leave it out."
        )
    if found:
        first = found[:_MAX_LISTED_IMAGES]
        listed = "; ".join(f"{split}, {_place(each, source)}: {each.reason}" for split, each in first)
        more = f"; and {len(found) - len(first):,} more" if len(found) > len(first) else ""
        raise DataError(
            f"{len(found):,} images of {where}'{source}' cannot be decoded ({listed}{more}). Mend them, or set "
            "data.on_error=skip to leave them out."
        )


def _place(image: BadImage, source: str) -> str:
    if image.path is None:
        return str(image)
    # inside the data folder, because its name is in the sentence already
    path, root = Path(image.path).absolute(), Path(source).absolute()
    root = root if root.is_dir() else root.parent
    return f"'{path.relative_to(root) if path.is_relative_to(root) else path}'"
