"""Files of predictions that were made elsewhere: arrays of NumPy, and tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.data.opening import join_names
from instar.errors import DataError, shortened

Columns = dict[str, NDArray[Any]]
"""Columns of a file by name, `[rows]` or `[rows, n]`; "" is the name of an array without one."""


def read_prediction_file(path: Path, as_text: Collection[str] = ()) -> Columns:
    """Return the columns of a file.

    Args:
        path: `.npy`, `.npz`, `.parquet`, `.csv`, `.tsv`, `.json` (a list of rows, or lists by column) or `.jsonl`.
        as_text: columns of `.csv` and `.tsv` whose cells are text as they are written, such as "007".

    Raises:
        DataError: when there is no such file, or it cannot be read.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"'{path}' must be a file of predictions ({', '.join(_READERS)}).")
    if not path.is_file():
        raise DataError(f"there is no file '{path}', which should hold predictions.")
    try:
        return _read_csv(path, as_text) if read is _read_csv else read(path)
    except Exception as error:  # NumPy, PyArrow and the parser of JSON raise a dozen classes
        raise DataError(f"'{path}' cannot be read: {shortened(error)}.") from None


def find_matrix(
    columns: Columns, classes: Sequence[str], column: str | None, where: str
) -> tuple[NDArray[np.float64], bool]:
    """Return the predictions of a file, `[rows, classes]`, and whether their classes were found by name.

    A row without any value is NaN.

    Args:
        columns: columns by name.
        classes: names of the classes of the data.
        column: column with a list per row; None: one column per class by its name, or the only column of lists.
        where: name of the file, for messages.

    Raises:
        DataError: when there are no such columns, or they have another number of classes.

    >>> find_matrix({"dog": np.array([0.25]), "cat": np.array([0.75])}, ["cat", "dog"], None, "a.csv")
    (array([[0.75, 0.25]]), True)
    """
    named = [name for name in classes if name in columns]
    if column is None and len(named) == len(classes):
        return np.stack([_as_numbers(columns[name], f"column '{name}' of {where}") for name in classes], 1), True
    if column is None and named:
        missing = [name for name in classes if name not in columns]
        raise DataError(
            f"{where} has columns of the classes {join_names(named)}, and none of {join_names(missing)}; name the "
            "column of every class as the data do, or the column with a list per row (column)."
        )
    lists = [name for name, values in columns.items() if values.ndim > 1 or _holds_lists(values)]
    chosen = column if column is not None else lists[0] if len(lists) == 1 else None
    if chosen is None or chosen not in columns:
        what = "no column of predictions" if column is None else f"no column '{column}'"
        raise DataError(
            f"{where} has {what}: expected one column per class ({join_names(classes)}) or one with a list per row, "
            f"found {join_names(columns) or 'no columns'}."
        )
    found = _as_rows(columns[chosen], len(classes), where)
    return found, False


def _as_rows(values: NDArray[Any], number: int, where: str) -> NDArray[np.float64]:
    if values.dtype == object:  # lists, or lists as text
        empty = [np.nan] * number
        rows = [empty if row is None else json.loads(row) if isinstance(row, str) else list(row) for row in values]
        if odd := [index for index, row in enumerate(rows) if len(row) != number]:
            raise DataError(
                f"{where} must have {number} numbers in each row, one per class; row {odd[0]} has {len(rows[odd[0]])}."
            )
        values = np.array(rows, dtype=object)
    if values.ndim != 2 or values.shape[1] != number:
        raise DataError(
            f"{where} must hold [samples, {number}], one column per class of the data, got {list(values.shape)}."
        )
    return _as_numbers(values, where)


def _as_numbers(values: NDArray[Any], where: str) -> NDArray[np.float64]:
    if values.dtype.kind == "c":
        raise DataError(f"{where} must hold real numbers, got {values.dtype}.")
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where} must hold numbers, got {values.dtype}.") from None


def _holds_lists(values: NDArray[Any]) -> bool:
    first = next((row for row in values if row is not None), None) if values.dtype == object else None
    return isinstance(first, list | tuple | np.ndarray) or (isinstance(first, str) and first.strip().startswith("["))


def _read_npy(path: Path) -> Columns:
    return {"": np.load(path, allow_pickle=False)}  # an array of objects is a pickle, which runs code


def _read_npz(path: Path) -> Columns:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _read_parquet(path: Path) -> Columns:
    import pyarrow.parquet

    return _of_arrow(pyarrow.parquet.read_table(path))


def _read_csv(path: Path, as_text: Collection[str] = ()) -> Columns:
    import pyarrow.csv

    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    parsing = pyarrow.csv.ParseOptions(delimiter=separator)
    types = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(as_text, pyarrow.string()))
    return _of_arrow(pyarrow.csv.read_csv(path, parse_options=parsing, convert_options=types))


def _of_arrow(table: Any) -> Columns:
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def _read_json(path: Path) -> Columns:
    text = path.read_text(encoding="utf-8-sig")
    is_lines = path.suffix.lower() != ".json"
    found = [json.loads(line) for line in text.splitlines() if line.strip()] if is_lines else json.loads(text)
    if isinstance(found, Mapping):
        return {str(name): _as_array(values) for name, values in found.items()}
    if not all(isinstance(row, Mapping) for row in found):  # a list of lists
        return {"": _as_array(found)}
    names = dict.fromkeys(name for row in found for name in row)
    return {name: _as_array([row.get(name) for row in found]) for name in names}


def _as_array(values: Any) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    if all(value is None or isinstance(value, int | float) for value in values):
        # whole numbers as they are, because float64 rounds long ids
        is_whole = all(isinstance(value, int) and abs(value) < 1 << 63 for value in values)
        return array.astype(np.int64 if is_whole else np.float64)
    return array


_READERS: dict[str, Callable[[Path], Columns]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json,
}
