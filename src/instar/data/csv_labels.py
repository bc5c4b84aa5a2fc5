"""Labels in CSV files that a reader of tables changes: numbers with leading zeros, and words such as NA."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from instar.errors import say

_ZEROS_FIRST = re.compile(r"[+-]?0\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[Tt]rue|TRUE|[Ff]alse|FALSE")


def choose_options(files: Sequence[str], column: str | None, separator: str, *, are_classes: bool) -> dict[str, Any]:
    """Return options with which pandas reads a column of labels as they are written; {} where it does so anyway.

    Labels are words where one of them is a number with leading zeros, such as the code 01. Where `are_classes`, words
    such as NA and None beside other words are labels too. Otherwise they are missing, as pandas reads them, and stderr
    says so.

    Args:
        files: CSV files with the column.
        column: name of the column; None: it is not known.
        separator: character between the cells.
        are_classes: whether each distinct label is a class.
    """
    found = _distinct(files, column, separator)
    missing = found & _words_for_missing()
    words = {value for value in found - missing if not _NUMBER.fullmatch(value)}
    has_zeros = any(_ZEROS_FIRST.fullmatch(value) for value in found)
    as_words = {"converters": {column: str}}
    if missing and are_classes and (words or has_zeros):
        import pandas

        others = pandas.read_csv(files[0], sep=separator, nrows=0).columns
        kept = {other: sorted(_words_for_missing()) for other in others} | {column: [""]}
        return {**as_words, "keep_default_na": False, "na_values": kept}
    if missing and words:
        say(
            f"instar: warning: labels of column '{column}' that are {' or '.join(sorted(missing))} are read as "
            "missing; set data.labels=classes if they are classes."
        )
    return as_words if has_zeros else {}


def tell_lost_zeros(folder: Path, column: str | None) -> None:
    """Say on stderr if labels in a metadata.csv beside images have leading zeros, which the library leaves out."""
    found = _distinct(map(str, folder.rglob("metadata.csv")), column, ",")
    if zeros := sorted(value for value in found if _ZEROS_FIRST.fullmatch(value)):
        say(
            f"instar: warning: labels of column '{column}' in metadata.csv lose their leading zeros, such as "
            f"'{zeros[0]}'; write them as text in a metadata.jsonl instead to keep them."
        )


def _distinct(files: Iterable[str], column: str | None, separator: str) -> set[str]:
    import pandas

    found: set[str] = set()
    options: Mapping[str, Any] = {"usecols": [column], "dtype": str, "keep_default_na": False, "sep": separator}
    for file in files if column is not None else ():
        try:
            found |= set(pandas.read_csv(file, **options)[column])
        except Exception:  # the library names what is wrong with a file when it reads it
            return set()
    return {value.strip() for value in found} - {""}


def _words_for_missing() -> frozenset[str]:
    from pandas._libs.parsers import STR_NA_VALUES

    return frozenset(STR_NA_VALUES)
