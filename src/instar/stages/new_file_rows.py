"""New inputs in a file of rows, for the model of a run that was trained on columns of numbers."""

from __future__ import annotations

from typing import Any

from instar.data.columns.of_rows import read_column
from instar.data.opening import is_table_file, open_data
from instar.runs.run import Run
from instar.stages.new_inputs import as_items
from instar.stages.new_named_inputs import find_columns
from instar.stages.run_data import describe_model, recorded_rate

_NUMBERS = {"float32", "int64", "bool"}


def open_rows(run: Run, given: Any, *, trust: bool = False) -> Any:
    """Return the columns that a run read, as arrays by name or as one array, if inputs are a file of rows.

    Anything else is returned unchanged, also a file for a run of another kind.

    Args:
        run: run whose model takes numbers, in one tensor or in several by name.
        given: inputs; a CSV, JSON lines or Parquet file holds one in each row.
        trust: allow the import of a reader of the user's.

    Raises:
        DataError: when the file cannot be read, has no such column, or holds anything but numbers in it.
    """
    items = as_items(given)
    if items is None or len(items) != 1 or not isinstance(items[0], str) or not is_table_file(items[0]):
        return given
    dtype = describe_model(run).get("dtype")
    if recorded_rate(run) is not None:  # frames are made of sound, and no file of rows holds them
        return given
    if not set(dtype.values() if isinstance(dtype, dict) else [dtype]) <= _NUMBERS:
        return given
    if columns := find_columns(run, trust=trust):
        rows = open_data(items[0], needs_test=False)
        return {column: read_column(rows, column, items[0])["train"] for column in dict.fromkeys(columns.values())}
    column = run.config["data"].get("input_column")
    if column is None:
        return given
    return read_column(open_data(items[0], needs_test=False), column, items[0])["train"]
