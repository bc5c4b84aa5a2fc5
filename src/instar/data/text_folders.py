"""Folders of classes whose files are texts, such as `train/good/7.txt`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instar.errors import DataError

if TYPE_CHECKING:
    import datasets


def read_class_folders(
    name: str, folder: Path, files: Mapping[str, Sequence[str]]
) -> dict[str, datasets.Dataset] | None:
    """Return a row for each file, with its text and the name of its folder as its label; None without such folders.

    Args:
        name: name of the data, for messages.
        folder: folder of the data.
        files: text files by split.

    Raises:
        DataError: when some files are in folders of classes and others are not, or a file is not UTF-8.
    """
    import datasets

    inside = {
        split: [Path(path).resolve().relative_to(folder.resolve()) for path in each] for split, each in files.items()
    }
    classes = {split: [path.parts[_depth_of_split(each) : -1] for path in each] for split, each in inside.items()}
    found = [parts for each in classes.values() for parts in each]
    if len(set(filter(None, found))) < 2:
        return None
    if (odd := next((parts for parts in found if len(parts) != 1), None)) is not None:
        where = f"in '{'/'.join(odd)}'" if odd else "others beside them"
        raise DataError(
            f"text files of '{name}' are in folders that may be classes, such as '{next(filter(None, found))[0]}', and "
            f"{where}; put each text into one folder of its class, or set data.input_column and data.label_column to "
            "text if all files are one text without labels."
        )
    rows = {
        split: {
            "text": [read_text_file(folder / path) for path in each],
            "label": [parts[0] for parts in classes[split]],
        }
        for split, each in inside.items()
    }
    return {split: datasets.Dataset.from_dict(columns) for split, columns in rows.items()}


def _depth_of_split(paths: Sequence[Path]) -> int:
    # the folder of a split holds all of its files
    tops = {path.parts[0] if len(path.parts) > 1 else "" for path in paths}
    return int(len(tops) == 1 and tops != {""})


def read_text_file(path: Path) -> str:
    """Return the content of a file of UTF-8, without a byte-order mark.

    Raises:
        DataError: when it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is no text in UTF-8: {error.reason} at byte {error.start}; convert it.") from None
