"""Values of the columns of a table of Arrow as float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.data.columns.schema import CellKind
from instar.data.tables.kinds import is_text
from instar.data.tables.text_kinds import Column, refuse_large_numbers, refuse_value
from instar.errors import DataError, shortened

Values = NDArray[np.float64]
"""One number per row; NaN where a value is missing."""


def read_quantities(column: Column, kind: CellKind, where: str) -> tuple[Values, bool]:
    """Return numbers, booleans as 0 and 1, or dates in seconds since 1970 UTC, and whether dates have a time zone.

    Args:
        column: column of Arrow, as `simplify` and `parse_text` return it.
        kind: what it holds.
        where: its name, for messages.

    Raises:
        DataError: when a value is no such number or date, is infinite, or does not fit into float64; names the row.

    >>> import pyarrow
    >>> read_quantities(pyarrow.chunked_array([["2001-09-09T01:46:40Z", None]]), "date", "column 'when'")
    (array([1.e+09,    nan]), True)
    """
    import pyarrow
    import pyarrow.compute

    if column.null_count == len(column):
        return np.full(len(column), np.nan), False
    _refuse_other_type(column, kind, where)
    if kind == "date":
        return _read_dates(column, where)
    if kind == "number" and pyarrow.types.is_integer(column.type):
        extremes = pyarrow.compute.min_max(column).as_py()
        refuse_large_numbers(filter(None, extremes.values()), where)
    try:
        # by way of booleans, because text as a float would take any number for true
        found = column.cast(pyarrow.bool_()) if kind == "boolean" and is_text(column) else column
        found = found.cast(pyarrow.uint8()) if pyarrow.types.is_boolean(found.type) else found
        numbers = np.array(found.cast(pyarrow.float64()).to_numpy(), dtype=np.float64)
    except pyarrow.ArrowInvalid as error:
        _refuse_odd_text(column, kind, [pyarrow.bool_() if kind == "boolean" else pyarrow.float64()], where)
        raise DataError(f"{where} cannot be read as {kind}s: {shortened(error).rstrip('.')}.") from None
    if (odd := np.isinf(numbers)).any():
        raise DataError(f"{where} is infinite in row {int(odd.argmax())}; write a finite number, or leave it empty.")
    if kind == "boolean" and (odd := ~np.isin(numbers, (0, 1)) & ~np.isnan(numbers)).any():
        row = int(odd.argmax())
        raise DataError(f"{where} cannot be read as booleans: row {row} holds {numbers[row]:g}; expected 0 or 1.")
    return numbers, False


def _refuse_odd_text(column: Column, kind: CellKind, types: Sequence[Any], where: str) -> None:
    # Arrow does not say where the text is that it cannot cast to any of the types
    import pyarrow
    import pyarrow.compute

    def fits(value: str, wanted: Any) -> bool:
        try:
            return len(pyarrow.array([value]).cast(wanted)) == 1
        except pyarrow.ArrowInvalid:
            return False

    values: list[Any] = pyarrow.compute.unique(column).drop_null().to_pylist() if is_text(column) else []
    for value in values:
        if not any(fits(value, wanted) for wanted in types):
            refuse_value(value, pyarrow.compute.index(column, value).as_py(), kind, where)


def _refuse_other_type(column: Column, kind: CellKind, where: str) -> None:
    import pyarrow

    is_date = pyarrow.types.is_date(column.type) or pyarrow.types.is_timestamp(column.type)
    if is_text(column) or is_date == (kind == "date"):
        return
    advice = ", as pandas.to_datetime(column, unit='s') does, because they may count anything" if not is_date else ""
    raise DataError(f"{where} holds values of type {column.type}, and {kind}s are expected; convert them{advice}.")


def read_words(column: Column, where: str) -> tuple[Values, tuple[str, ...]]:
    """Return words as numbers of their sorted categories, and these categories.

    >>> import pyarrow
    >>> codes, categories = read_words(pyarrow.chunked_array([["pro", None, "basic"]]), "column 'plan'")
    >>> codes.tolist(), categories
    ([1.0, nan, 0.0], ('basic', 'pro'))
    """
    import pyarrow
    import pyarrow.compute

    if column.null_count == len(column):
        return np.full(len(column), np.nan), ()
    encoded = _as_words(column, where).combine_chunks().dictionary_encode()
    encoded = encoded.chunk(0) if isinstance(encoded, pyarrow.ChunkedArray) else encoded
    words: list[str] = encoded.dictionary.to_pylist()
    categories = tuple(sorted(words))
    places = {word: float(place) for place, word in enumerate(categories)}
    new = np.array([*(places[word] for word in words), np.nan])
    codes = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    return new[codes], categories


def _as_words(column: Column, where: str) -> Column:
    import pyarrow

    if pyarrow.types.is_floating(column.type):  # a CSV file with a missing value has whole numbers as floats
        try:
            column = column.cast(pyarrow.int64())
        except pyarrow.ArrowInvalid:
            raise DataError(f"{where} holds fractions, which are no words; read them as numbers.") from None
    return column.cast(pyarrow.large_string())


def _read_dates(column: Column, where: str) -> tuple[Values, bool]:
    import pyarrow

    has_zone = getattr(column.type, "tz", None) is not None
    if is_text(column):
        column, has_zone = _parse_dates(column, where)
    moments = column.cast(pyarrow.timestamp("us", "UTC" if has_zone else None), safe=False)
    numbers: Any = moments.cast(pyarrow.int64()).to_numpy()  # float64 with NaN where values are missing
    return np.array(numbers, dtype=np.float64) / 1e6, has_zone


def _parse_dates(column: Column, where: str) -> tuple[Column, bool]:
    import pyarrow

    for zone in (None, "UTC"):  # the first takes no date with a zone, and the second only those
        try:
            return column.cast(pyarrow.timestamp("us", zone)), zone is not None
        except pyarrow.ArrowInvalid as error:
            told = shortened(error).rstrip(".")
    _refuse_odd_text(column, "date", [pyarrow.timestamp("us", zone) for zone in (None, "UTC")], where)
    raise DataError(
        f"{where} looks like dates, and cannot be read as dates that all have a time zone, or all have none ({told}). "
        "Convert them, or set data.column_types to read words."
    )
