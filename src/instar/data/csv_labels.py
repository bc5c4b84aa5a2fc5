"""Cells of CSV files that a reader of tables changes: numbers with leading zeros, and words such as NA."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from instar.errors import DataError, say

_ZEROS_FIRST = re.compile(r"[+-]?0\d+")
_CODE = re.compile(r"\d+[eE]\d+|\+\d+")  # an article or a telephone number rather than a number
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[Tt]rue|TRUE|[Ff]alse|FALSE")
_NUM_INSPECTED_ROWS = 100  # first rows of a file that tell its form


def choose_options(files: Sequence[str], column: str | None, separator: str, *, are_classes: bool) -> dict[str, Any]:
    """Return options with which pandas reads a column of labels as they are written; {} where it does so anyway.

    Labels are words where one of them is a code, such as 01 or 1e5. Where `are_classes`, words such as NA and None
    beside other words are labels too. Otherwise they are missing, as pandas reads them, and stderr says so.

    Args:
        files: CSV files with the column.
        column: name of the column; None: it is not known.
        separator: character between the cells.
        are_classes: whether each distinct label is a class.
    """
    found = _distinct(files, column, separator)
    missing = found & _words_for_missing()
    words = {value for value in found - missing if not _NUMBER.fullmatch(value)}
    has_codes = any(_ZEROS_FIRST.fullmatch(value) or _CODE.fullmatch(value) for value in found)
    as_words = {"converters": {column: str}}
    if missing and are_classes and (words or has_codes):
        kept = {other: sorted(_words_for_missing()) for other in _column_names(files[0], separator)} | {column: [""]}
        return {**as_words, "keep_default_na": False, "na_values": kept}
    if missing and words:
        say(
            f"instar: warning: labels of column '{column}' that are {' or '.join(sorted(missing))} are read as "
            "missing; set data.labels=classes if they are classes."
        )
    return as_words if has_codes else {}


def keep_as_text(options: Mapping[str, Any], columns: Collection[str], file: str, separator: str) -> dict[str, Any]:
    """Return options with which pandas also reads the cells of some columns as text, exactly as they are written.

    Args:
        options: options of the labels.
        columns: names of the columns.
        file: a CSV file with all columns.
        separator: character between the cells.
    """
    if not columns:
        return dict(options)
    missing = dict(
        options.get("na_values") or dict.fromkeys(_column_names(file, separator), sorted(_words_for_missing()))
    )
    return {
        "converters": {**dict.fromkeys(columns, str), **options.get("converters", {})},
        "keep_default_na": False,
        "na_values": {column: words for column, words in missing.items() if column not in columns},
    }


def refuse_odd_rows(files: Sequence[str], separator: str) -> None:
    """Refuse CSV files whose rows end with a separator, because pandas then moves each cell into the next column.

    Raises:
        DataError: names the file.
    """
    import pandas

    for file in files:
        try:
            rows = pandas.read_csv(file, sep=separator, nrows=_NUM_INSPECTED_ROWS, dtype=str)
        except Exception:  # the library names what is wrong with a file when it reads it
            continue
        if not isinstance(rows.index, pandas.RangeIndex) and len(rows) and rows.iloc[:, -1].isna().all():
            raise DataError(
                f"the rows of '{file}' have a cell more than the header has names; remove the separator at the end of "
                "each row, or name the column."
            )


def tell_changed_labels(folder: Path, column: str | None) -> None:
    """Say on stderr if the library reads labels in a metadata.csv as something else: leading zeros, and words as NA."""
    found = _distinct(map(str, folder.rglob("metadata.csv")), column, ",")
    zeros = sorted(value for value in found if _ZEROS_FIRST.fullmatch(value))
    if told := zeros or sorted(found & _words_for_missing()):
        what = "lose their leading zeros" if zeros else "are read as missing"
        say(
            f"instar: warning: labels of column '{column}' in metadata.csv {what}, such as '{told[0]}'; write them as "
            "text in a metadata.jsonl instead to keep them."
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


def _column_names(file: str, separator: str) -> list[str]:
    import pandas

    return list(pandas.read_csv(file, sep=separator, nrows=0).columns)


def _words_for_missing() -> frozenset[str]:
    from pandas._libs.parsers import STR_NA_VALUES

    return frozenset(STR_NA_VALUES)
