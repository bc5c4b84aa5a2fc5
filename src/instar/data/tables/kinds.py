"""Types of the columns of a table of Arrow: numbers, words, booleans or dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instar.data.columns.schema import CellKind
from instar.data.tables.text_kinds import Column, find_kind_of_text
from instar.errors import DataError

MAX_UNDOUBTED_WORDS = 20
"""Largest number of distinct words that are surely categories; of more, a word must occur twice on average."""

MAX_INSPECTED_TEXTS = 10_000
"""First rows whose texts tell whether they are words of a few categories."""

MAX_WORDS_OF_A_CATEGORY = 5
"""Words of a text that may still be the name of a category."""


def simplify(column: Column, where: str) -> Column:
    """Return a column as numbers, booleans, dates or text; blank text is a missing value.

    Raises:
        DataError: when it holds anything else, such as lists.
    """
    import pyarrow
    import pyarrow.compute

    kind = column.type
    if pyarrow.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pyarrow.types.is_decimal(kind):  # whole ones as text, because they may be too large for floats
        column = column.cast(pyarrow.float64() if kind.scale > 0 else pyarrow.string())
    if is_text(column):
        column = column.cast(pyarrow.large_string())
        blank = pyarrow.compute.equal(pyarrow.compute.utf8_trim_whitespace(column), "")
        return pyarrow.compute.if_else(blank, pyarrow.scalar(None, column.type), column)
    known = (pyarrow.types.is_boolean, pyarrow.types.is_integer, pyarrow.types.is_floating, pyarrow.types.is_null)
    if any(test(kind) for test in known) or _holds_dates(kind):
        return column
    raise DataError(
        f"{where} holds values of type {kind}; expected numbers, words, booleans or dates. Convert the column, or "
        "leave it out with data.leave_out."
    )


def is_text(column: Column) -> bool:
    """Return whether a column of Arrow holds text."""
    import pyarrow.types

    tests = (pyarrow.types.is_string, pyarrow.types.is_large_string, pyarrow.types.is_string_view)
    return any(test(column.type) for test in tests)


def holds_numbers(column: Column) -> bool:
    """Return whether a column of Arrow holds numbers, also as categories."""
    import pyarrow.types

    kind = column.type.value_type if pyarrow.types.is_dictionary(column.type) else column.type
    tests = (pyarrow.types.is_integer, pyarrow.types.is_floating, pyarrow.types.is_decimal)
    return any(test(kind) for test in tests)


def find_kind(columns: Mapping[str, Column], where: str, name: str) -> CellKind:
    """Return what a column holds in all splits together.

    Text that is numbers, dates or true and false in every row is read as such, as from a CSV file, which has nothing
    but text. So the types of a table do not depend on the kind of its file.

    Args:
        columns: the column of each split, as `simplify` returns it, the training samples first.
        where: the column, for messages.
        name: its name alone.

    Raises:
        DataError: when splits have different types, or values have several readings.
    """
    known = {split: column for split, column in columns.items() if column.null_count < len(column)}
    if not known:
        return "empty"
    texts = {split: column for split, column in known.items() if is_text(column)}
    kinds = {_kind_of_type(column) for column in known.values() if not is_text(column)}
    if texts:
        kinds.add(find_kind_of_text(texts, where, name))
    if len(kinds) > 1:
        told = " and ".join(f"{kind}s" for kind in sorted(kinds))
        raise DataError(f"{where} holds {told} in different splits; convert them, or set data.column_types.")
    return kinds.pop()


def may_be_texts(values: Sequence[str | None]) -> bool:
    """Return whether strings are texts rather than words of a few categories: different in most rows, or long.

    >>> may_be_texts(["a", "b"] * 20), may_be_texts(["a film that is longer than it has to be"])
    (False, True)
    """
    known = [value for value in values if value]
    are_many = len(set(known)) > max(MAX_UNDOUBTED_WORDS, len(known) / 2)
    return are_many or any(len(value.split()) > MAX_WORDS_OF_A_CATEGORY for value in known)


def refuse_doubtful(columns: Sequence[Column], kind: CellKind, where: str, name: str) -> None:
    """Refuse words that are hardly categories, and numbers that count the rows.

    Raises:
        DataError: names the settings that leave the column out, or take it as it is.
    """
    advice = f"Leave it out with data.leave_out=['{name}'], or set data.column_types={{'{name}': '{kind}'}} to keep it."
    if kind == "word":
        distinct, count = _count_values(columns[:1])  # of train, because a small split has most words once
        if len(distinct) > MAX_UNDOUBTED_WORDS and 2 * len(distinct) > count:
            raise DataError(
                f"{where} has {len(distinct):,} different words in {count:,} rows, so it may hold names of samples or "
                f"texts. {advice}"
            )
    if kind != "number" or not all(map(_holds_whole_numbers, columns)):
        return
    for some in (columns[:1], columns):  # an index may go on in the next split, or begin anew
        distinct, count = _count_values(some)
        if count > MAX_UNDOUBTED_WORDS and len(distinct) == count == max(distinct) - min(distinct) + 1:
            raise DataError(
                f"{where} has each whole number from {min(distinct)} to {max(distinct)} once, so it may be an index of "
                f"the rows. {advice}"
            )


def _count_values(columns: Sequence[Column]) -> tuple[set[Any], int]:
    import pyarrow.compute as pc

    distinct = set().union(*(pc.unique(column).to_pylist() for column in columns)) - {None}
    return distinct, sum(len(column) - column.null_count for column in columns)


def _kind_of_type(column: Column) -> CellKind:
    import pyarrow.types

    if pyarrow.types.is_boolean(column.type):
        return "boolean"
    return "date" if _holds_dates(column.type) else "number"


def _holds_dates(kind: Any) -> bool:
    import pyarrow.types

    return bool(pyarrow.types.is_date(kind) or pyarrow.types.is_timestamp(kind))


def _holds_whole_numbers(column: Column) -> bool:
    import pyarrow.types

    return bool(pyarrow.types.is_integer(column.type) or pyarrow.types.is_null(column.type))
