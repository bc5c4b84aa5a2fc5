"""Decoding of all images of a data set into arrays of one shape, one file per split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from instar.config import DataConfig
from instar.data.array_files import MixedColoursError, MixedSizesError, NoRowsError, write_inputs
from instar.data.bad_files import BadFile, refuse_bad_files, write_skipped
from instar.data.image_form import MAX_CHOSEN_SIDE_PIXELS, ImageForm
from instar.data.images import decode_images, smallest_side


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
    bad: dict[str, list[BadFile]] = {}
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
            refuse_bad_files(bad, column, config.source, "images")
            raise
    if config.on_error == "refuse":
        refuse_bad_files(bad, column, config.source, "images")
    return write_skipped(folder, bad)


def _write_splits(
    folder: Path,
    splits: Mapping[str, Any],
    column: str,
    source: str,
    form: ImageForm,
    bad: Mapping[str, list[BadFile]],
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
