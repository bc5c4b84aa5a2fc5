"""Recordings given in Python as paths, decoded into the cache as those of a file of rows are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instar.config import DataConfig
from instar.data.given_images import as_list
from instar.data.media_paths import open_paths, tell_repeated_files
from instar.data.sound import is_sound_file
from instar.errors import DataError

if TYPE_CHECKING:
    import datasets

USUAL_TEST_SHARE = 0.2
"""Share of each class that becomes the test set where there is none and no setting names one."""

_PATH, _LABEL = "recording", "label"


def as_recordings(inputs: Any) -> list[Any] | None:
    """Return inputs as a list of paths to files of sound; None if they are something else.

    >>> as_recordings(["a.wav", "b.flac"]), as_recordings(["a.png"])
    (['a.wav', 'b.flac'], None)
    """
    items = as_list(inputs)
    known = [item for item in items or () if item is not None]
    return items if known and all(map(is_sound_file, known)) else None


def rows_of_recordings(
    items: Mapping[str, Sequence[Any]],
    labels: Mapping[str, NDArray[np.int64]],
    classes: tuple[str, ...],
    config: DataConfig,
) -> tuple[dict[str, datasets.Dataset], DataConfig]:
    """Return recordings as rows by split, and the settings that read these rows.

    Args:
        items: paths, which are relative to the working directory, by split.
        labels: class numbers by split; a split without any has none.
        classes: class names.
        config: settings of recordings.

    Raises:
        DataError: when recordings cannot be decoded, or a split has another number of labels.
    """
    import datasets

    tell_repeated_files(config.source, items)
    features = datasets.Features({_PATH: datasets.Value("string"), _LABEL: datasets.ClassLabel(names=list(classes))})
    rows = {}
    for split, paths in items.items():
        known = labels.get(split, np.full(len(paths), -1))
        if len(known) != len(paths):
            raise DataError(f"'{split}' has {len(paths)} inputs but {len(known)} labels.")
        numbers = [None if label < 0 else int(label) for label in known]
        named = datasets.Dataset.from_dict({_PATH: [path and str(path) for path in paths], _LABEL: numbers}, features)
        rows[split] = open_paths(named, [Path.cwd()])
        if isinstance(rows[split].features[_PATH], datasets.Value):
            raise DataError(
                f"none of the first recordings of '{split}' exists, such as '{paths[0]}'; paths are relative to the "
                "working directory."
            )
    # the labels are numbers of classes by now, whatever they were
    read = {"input_column": _PATH, "label_column": _LABEL, "unlabelled": None, "classes": (), "labels": None}
    # drawn before decoding, which keeps the sound of the test set alone
    drawn = {} if "test" in rows or config.test is not None else {"test": USUAL_TEST_SHARE}
    return rows, config.model_copy(update=read | drawn)
