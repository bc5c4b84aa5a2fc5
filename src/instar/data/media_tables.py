"""Tables beside images or recordings, metadata.csv and others of the Hub: what is not read because of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instar.data.media_paths import MEDIA
from instar.errors import say

if TYPE_CHECKING:
    import datasets

METADATA_FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of tables whose column `file_name` names the files beside them."""


def tell_faults_of_tables(
    name: str, folder: Path, files: Mapping[str, Sequence[str]], splits: Mapping[str, datasets.Dataset], kind: str
) -> None:
    """Say on stderr how many files have no row or several in a table, or which table is not read although it is there.

    Args:
        name: name of the data.
        folder: folder of the data.
        files: paths of the files that are read by split, those of tables among them.
        splits: their rows.
        kind: "images" or "recordings".
    """
    read = [Path(path).resolve() for paths in files.values() for path in paths]
    if not any(path.name in METADATA_FILES for path in read):
        # the library looks for tables where it looks for files, and folders of splits leave out the one above them
        for table in (folder / table for table in METADATA_FILES):
            if table.is_file():
                say(
                    f"instar: '{table.name}' of '{name}' is not read, because its splits are folders; put a "
                    f"{table.name} into each of them, with names of files that are relative to it."
                )
        return
    counts = Counter(path for rows in splits.values() for path in _paths(rows))
    if twice := sorted(path for path, count in counts.items() if count > 1):
        path = os.path.relpath(twice[0], folder.resolve())
        say(f"instar: warning: {len(twice):,} {kind} of '{name}' have several rows in the table, such as '{path}'.")
    listed = set(counts)
    unlisted = sorted(path for path in read if MEDIA[kind](path) and path not in listed)
    if unlisted:
        path = os.path.relpath(unlisted[0], folder.resolve())
        told = f"{len(unlisted):,} {kind} of '{name}' have no row in the table and are not read, such as '{path}'"
        say(f"instar: {told}.")


def _paths(rows: datasets.Dataset) -> Iterator[Path]:
    import datasets

    # a table may name several files in a row, such as an image and its mask
    for column, feature in rows.features.items():
        if isinstance(feature, datasets.Image | datasets.Audio):
            kind = datasets.Image if isinstance(feature, datasets.Image) else datasets.Audio
            values = rows.select_columns([column]).cast_column(column, kind(decode=False))[column]
            yield from (Path(value["path"]).resolve() for value in values if value and value["path"])
