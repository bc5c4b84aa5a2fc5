"""Made cells as a data frame with the types of the table that a user gave, which pipelines of scikit-learn read."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from instar.data.columns.cell_rows import CellRows
from instar.data.columns.schema import TableColumn


def make_typed_frame(rows: CellRows, values: Tensor) -> Any:
    """Return cells as a data frame of pandas, each column with the type that it has in the given table.

    Words and booleans, whatever stands for them, are those of a given row. Numbers and dates are converted.

    Args:
        rows: given rows; each word, boolean and missing value of `values` occurs in the same column of them.
        values: float64 `[n, columns]`, as `CellRows` holds them.

    >>> import pandas, torch
    >>> from instar.data.columns.schema import Schema
    >>> given = pandas.DataFrame({"vip": ["yes", "no"], "age": [31, 40]})
    >>> schema = Schema((TableColumn("vip", "boolean"), TableColumn("age", "number")))
    >>> rows = CellRows(torch.tensor([[1.0, 31.0], [0.0, 40.0]], dtype=torch.float64), schema, given)
    >>> make_typed_frame(rows, torch.tensor([[0.0, 35.0]], dtype=torch.float64)).to_dict("records")
    [{'vip': 'no', 'age': 35}]
    """
    import pandas

    given = rows.as_frame()
    found = {}
    for place, column in enumerate(rows.schema):
        series, cells = given.iloc[:, place], values[:, place].numpy()
        if column.kind == "number":
            found[place] = _convert_numbers(series, cells)
        elif column.kind == "date":
            found[place] = _convert_dates(series, cells, column)
        else:
            found[place] = _copy_cells(series, rows.values[:, place].numpy(), cells)
    frame = pandas.DataFrame({place: series.reset_index(drop=True) for place, series in found.items()})
    frame.columns = given.columns  # by place, because a name may be a number
    return frame


def _copy_cells(given: Any, known: Any, cells: Any) -> Any:
    # a given row with each value; NaN is one value here
    distinct, places = np.unique(known, return_index=True)
    return given.iloc[places[np.searchsorted(distinct, cells)]]


def _convert_numbers(given: Any, cells: Any) -> Any:
    import pandas

    found = pandas.Series(cells)
    if pandas.api.types.is_numeric_dtype(given.dtype):
        return found.astype(given.dtype)
    if isinstance(given.dtype, pandas.CategoricalDtype):  # numbers between the categories are none of them
        return found
    text = given.map(lambda value: isinstance(value, str)).any()
    if not text:  # such as decimals of Python
        return found
    return pandas.Series([None if np.isnan(cell) else f"{cell:.15g}" for cell in cells], dtype=given.dtype)


def _convert_dates(given: Any, cells: Any, column: TableColumn) -> Any:
    import pandas

    # whole microseconds, because seconds as floats are rounded to nanoseconds
    micros = pandas.Series(np.where(np.isnan(cells), np.nan, np.round(cells * 1e6)))
    found = pandas.to_datetime(micros.astype("Int64"), unit="us", utc=column.has_zone)
    if isinstance(given.dtype, pandas.DatetimeTZDtype) or pandas.api.types.is_datetime64_dtype(given.dtype):
        return found.astype(given.dtype)
    if given.map(lambda value: isinstance(value, str)).any():
        return found.map(lambda moment: None if pandas.isna(moment) else moment.isoformat()).astype(given.dtype)
    return found.dt.date  # dates of Python
