"""Data frames of any library as tables of Arrow."""

from __future__ import annotations

import re
from typing import Any

from instar.errors import DataError, shortened

_INDEX = re.compile(r"__index_level_\d+__")  # under which pandas writes an index into files


def is_frame(given: object) -> bool:
    """Return whether something is a data frame of pandas, polars, PyArrow or any other library that narwhals knows.

    >>> import pandas
    >>> is_frame(pandas.DataFrame({"age": [31]})), is_frame([[31]])
    (True, False)
    """
    import narwhals

    known = narwhals.from_native(given, pass_through=True)
    return isinstance(known, narwhals.DataFrame | narwhals.LazyFrame)


def as_arrow(given: Any, where: str) -> Any:
    """Return a data frame as a table of Arrow, without the index of pandas.

    Args:
        given: data frame of any library, computed or lazy.
        where: name of the table, for messages.

    Raises:
        DataError: when a column holds values of several types, or two columns have one name.
    """
    import narwhals

    names = list(map(str, given.columns)) if hasattr(given, "iloc") else []
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"'{where}' has two columns '{twice}'; rename one of them.")
    try:
        if hasattr(given, "iloc"):  # only so can the index be left out
            import pyarrow

            table = pyarrow.Table.from_pandas(given, preserve_index=False)
            table = table.rename_columns(list(map(str, table.column_names)))
        else:
            frame = narwhals.from_native(given)
            table = (frame.collect() if isinstance(frame, narwhals.LazyFrame) else frame).to_arrow()
    except Exception as error:  # of Arrow, whose classes differ by the kind of value
        told = error.args[-1] if error.args else error  # the last one names the column
        raise DataError(f"the table '{where}' cannot be read: {shortened(told)}.") from None
    return without_index(table)


def as_frame_of_pandas(given: Any) -> Any:
    """Return a data frame of any library as one of pandas, and anything else unchanged."""
    import narwhals

    frame = narwhals.from_native(given, pass_through=True)
    if isinstance(frame, narwhals.LazyFrame):
        frame = frame.collect()
    return frame.to_pandas() if isinstance(frame, narwhals.DataFrame) else given


def without_index(table: Any) -> Any:
    """Return a table of Arrow without the columns that hold the index of a data frame of pandas."""
    return table.select([name for name in table.column_names if not _INDEX.fullmatch(name)])
