"""Columns of paths to files of images or sound, which become columns of images or recordings."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instar.data.images import is_image_file
from instar.data.sound import is_sound_file
from instar.errors import say

if TYPE_CHECKING:
    import datasets

MEDIA: dict[str, Callable[[object], bool]] = {"images": is_image_file, "recordings": is_sound_file}
"""What tells paths of each kind of files, by its name in the plural."""

_NUM_INSPECTED_ROWS = 100  # first rows whose values tell whether a column holds paths


def open_paths(rows: datasets.Dataset, folders: Iterable[Path]) -> datasets.Dataset:
    """Return rows whose columns of paths to files are columns of images or recordings, which are not decoded.

    A column of strings holds paths if all of its first values end as files of images do, or as files of sound, and one
    of them exists in one of the folders. Other columns stay as they are.

    Args:
        rows: rows of a split.
        folders: folders that the paths may be relative to; the first one that has a file is used.
    """
    import datasets

    if any(isinstance(feature, datasets.Image | datasets.Audio) for feature in rows.features.values()):
        return rows  # files named beside images, such as masks, are not the inputs
    for column, feature in rows.features.items():
        if getattr(feature, "dtype", "") not in ("string", "large_string"):
            continue
        first = [value for value in rows.select_columns([column])[:_NUM_INSPECTED_ROWS][column] if value]
        kind = next((kind for kind, is_kind in MEDIA.items() if first and all(map(is_kind, first))), None)
        if kind is None:
            continue
        folder = next((folder for folder in folders if any((folder / value).is_file() for value in first)), None)
        if folder is not None:
            rows = _with_files(rows, column, [value and str(folder / value) for value in rows[column]], kind)
    return rows


def tell_repeated_files(name: str, paths: Mapping[str, Sequence[Any]]) -> None:
    """Say on stderr if a file is named in train and in another split, or twice in data that are still to be split.

    Args:
        name: name of the data.
        paths: paths by split; other values, such as images of Pillow, count as different.
    """
    splits = {
        split: [os.path.abspath(path) for path in each if isinstance(path, str | Path)] for split, each in paths.items()
    }  # one spelling for each file
    # within a split that stays as it is, a repeated sample only has more weight
    several = [set(each) for each in splits.values()] if len(splits) > 1 else list(splits.values())
    counts = Counter(path for each in several for path in each)
    repeated = [path for path, count in counts.items() if count > 1]
    if repeated:
        kind = next((kind for kind, is_kind in MEDIA.items() if is_kind(repeated[0])), "files")
        say(
            f"instar: warning: {len(repeated):,} {kind} of '{name}' are named in several rows, such as "
            f"'{repeated[0]}', so that a test sample may also be a training sample."
        )


def hash_named_files(rows: datasets.Dataset, column: str) -> str | None:
    """Return a hash of sizes and times of the files that a column names; None if it holds the content of all.

    The library's fingerprint of rows covers the names of such files, and not what is in them now.

    Args:
        rows: rows of a split.
        column: column of images or recordings, or of anything else.
    """
    import pyarrow
    import pyarrow.compute

    values, is_named = rows.data.column(column), False
    if not pyarrow.types.is_struct(values.type) or {"bytes", "path"} - {field.name for field in values.type}:
        return None
    digest = hashlib.blake2b(digest_size=8)
    for part in values.chunks:  # not as one, because the content may be larger than memory
        content, paths = (pyarrow.compute.struct_field(part, name) for name in ("bytes", "path"))
        for path in paths.filter(pyarrow.compute.and_(content.is_null(), paths.is_valid())).to_pylist():
            digest.update(f"{path} {_state(path)}\n".encode(errors="surrogateescape"))
            is_named = True
    return digest.hexdigest() if is_named else None


def _with_files(rows: datasets.Dataset, column: str, paths: Sequence[str | None], kind: str) -> datasets.Dataset:
    import datasets

    digest = hashlib.blake2b(f"{rows._fingerprint} {column}".encode(), digest_size=8)
    for path in paths:  # the same names mean other files in another folder
        digest.update(f"{path}\n".encode(errors="surrogateescape"))
    files = [None if path is None else {"bytes": None, "path": path} for path in paths]
    others = rows.remove_columns(column)
    # a column of Audio cannot be written without torchcodec, and one of this structure is read as recordings
    recordings = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    feature = datasets.Image(decode=False) if kind == "images" else recordings
    return others.add_column(column, files, new_fingerprint=digest.hexdigest(), feature=feature)


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # missing, which decoding names
        return None
    return found.st_size, found.st_mtime_ns
