"""Files of images or recordings that cannot be decoded: listed by path, and refused or left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instar.errors import DataError

SKIPPED_FILE = "skipped.json"
"""File of a decoded copy with split, row, path and reason of every file that was left out."""

_MAX_LISTED_FILES = 5


@dataclass(frozen=True)
class BadFile:
    """An image or a recording that cannot be decoded.

    Args:
        row: its row in the split.
        path: its file; None if the data hold its bytes.
        reason: what is wrong with it.
    """

    row: int
    path: str | None
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}, file '{self.path}'" if self.path else f"row {self.row}"


def write_skipped(folder: Path, bad: Mapping[str, Sequence[BadFile]]) -> dict[str, Any]:
    """Write the list of files that are left out into a folder; return it as `{"skipped": {split: [...]}}`, or nothing.

    Each file is listed as (row, path, reason).
    """
    skipped = {split: [(each.row, each.path, each.reason) for each in found] for split, found in bad.items() if found}
    if not skipped:
        return {}
    (folder / SKIPPED_FILE).write_text(json.dumps(skipped, indent=1))
    return {"skipped": skipped}


def refuse_bad_files(bad: Mapping[str, Sequence[BadFile]], column: str | None, source: str, noun: str) -> None:
    """Refuse data with files that cannot be decoded.

    Args:
        bad: these files by split.
        column: column of the files, if they have one.
        source: name of the data.
        noun: what the files are, in the plural.

    Raises:
        DataError: when there are any; lists them.
    """
    found = [(split, each) for split, files in bad.items() for each in files]
    where = f"column '{column}' of " if column else ""
    if len(found) == 1:
        (split, one) = found[0]
        raise DataError(
            f"{where}'{source} ({split})', {one}, cannot be decoded: {one.reason}. Mend it, or set "
            "data.on_error=skip to leave it out."
        )
    if found:
        first = found[:_MAX_LISTED_FILES]
        listed = "; ".join(f"{split}, {_place(each, source)}: {each.reason}" for split, each in first)
        more = f"; and {len(found) - len(first):,} more" if len(found) > len(first) else ""
        raise DataError(
            f"{len(found):,} {noun} of {where}'{source}' cannot be decoded ({listed}{more}). Mend them, or set "
            "data.on_error=skip to leave them out."
        )


def _place(file: BadFile, source: str) -> str:
    if file.path is None:
        return str(file)
    # inside the data folder, because its name is in the sentence already
    path, root = Path(file.path).absolute(), Path(source).absolute()
    root = root if root.is_dir() else root.parent
    return f"'{path.relative_to(root) if path.is_relative_to(root) else path}'"
