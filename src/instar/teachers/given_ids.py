"""Ids that match rows of predictions with samples: whole numbers and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.data.columns.held import MAX_EXACT_FLOAT32, MAX_EXACT_FLOAT64, Held
from instar.data.columns.texts import Texts
from instar.data.source import Source
from instar.errors import DataError, MismatchError

MAX_TOLD_IDS = 5
"""Ids that an error names."""

_MISSING = ("nan", "<NA>", "NaT")
"""Missing values of NumPy and pandas as text; a word that reads so is an id."""


def read_own_ids(source: Source, name: str) -> list[Any]:
    """Return the values of a column of numbers or words that data keep beside their inputs, one per sample.

    Raises:
        MismatchError: when there is no such column, it has several numbers per sample, or float32 rounds them.
    """
    column: Any = source.held.get(name, source.columns.get(name))
    if isinstance(column, Texts):
        return column.strings()
    if not isinstance(column, Held):
        raise MismatchError(
            f"the data '{source.name}' have no column '{name}' to match ids with; keep it: --set data.columns=[{name}]."
        )
    if column.exact is not None:
        return column.exact.tolist()
    if column.values.numel() != len(column):
        raise MismatchError(
            f"the column '{name}' of '{source.name}' has values of shape {list(column.shape)} per sample, and an id is "
            "one number or one word."
        )
    values = column.values.flatten()
    if values.is_floating_point() and values.abs().max() > MAX_EXACT_FLOAT32:
        raise MismatchError(
            f"ids in the column '{name}' of '{source.name}' must be words, or whole numbers up to "
            f"{MAX_EXACT_FLOAT64:,} (2**63 - 1 if the file holds integers); found {values.abs().max():,.6g} among them."
        )
    return values.tolist()


def as_keys(values: Sequence[Any], where: str) -> list[str]:
    """Return ids as texts, in which 7, 7.0 and "7" are equal; words are as they are written.

    >>> as_keys([7, 7.5, "07", "C7"], "a.csv")
    ['7', '7.5', '07', 'C7']

    Raises:
        DataError: when an id is missing, is there twice, or is a float that is not exact.
    """
    found = [as_key(value) for value in values]
    if "" in found:
        raise DataError(
            f"{where} must have an id in each row; {found.count('')} have none, the first is row {found.index('')}."
        )
    for value in values:
        if isinstance(value, float) and abs(value) > MAX_EXACT_FLOAT64:
            raise DataError(
                f"{where} holds the float {value:.17g}, which is not exact; write ids as integers or texts."
            )
    key, count = Counter(found).most_common(1)[0] if found else ("", 0)
    if count > 1:
        raise DataError(f"{where} must have each id once; '{key}' is there {count} times.")
    return found


def as_key(value: Any) -> str:
    """Return a value as text; "" if it is missing."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, str):
        return value
    if value is None or str(value) in _MISSING:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def refuse_unknown_ids(ids: NDArray[Any], is_known: NDArray[np.bool_], where: str) -> None:
    """Refuse predictions about samples that the data do not have.

    Raises:
        DataError: names some of the ids.
    """
    unknown = [as_key(value) for value in ids[~is_known][:MAX_TOLD_IDS].tolist()]
    if unknown:
        count = int((~is_known).sum())
        names = ", ".join(f"'{key}'" for key in unknown) + (", ..." if count > len(unknown) else "")
        raise DataError(
            f"{where} has {count:,} of {len(ids):,} rows with ids that no sample of the data has: {names}; leave out "
            "these rows, or correct the ids."
        )
