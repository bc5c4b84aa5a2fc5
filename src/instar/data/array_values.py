"""Conversion of inputs (arrays, tensors, lists, tables) to NumPy arrays of numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.data.images import pixels_of
from instar.data.tables.frames import as_frame_of_pandas
from instar.errors import DataError

# NumPy would convert some of them: dates and durations to whole numbers, words that look like numbers to floats
_UNSUPPORTED_VALUES = {
    "c": "complex numbers",
    "M": "dates",
    "m": "durations",
    "U": "words",
    "S": "bytes",
    "V": "records",
}


def read_numbers(split: str, given: Any) -> NDArray[Any]:
    """Return inputs as an array of booleans, integers or floats, `[samples, ...]`, which may share their memory.

    Raises:
        DataError: when the inputs have another type, no feature axis, or rows of different shapes.

    >>> read_numbers("train", [torch.zeros(2), torch.ones(2)]).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    array = _inputs_as_array(split, given)
    if array.dtype.kind == "O" and array.ndim == 1:  # each object is a row, as in a column of a table
        array = _inputs_as_array(split, list(array))
    if array.dtype.kind == "O":
        array = _from_objects(split, array)
    if array.dtype.kind not in "biuf":
        what = _UNSUPPORTED_VALUES.get(array.dtype.kind, f"values of {array.dtype}")
        raise DataError(f"inputs must be numbers, but those of '{split}' are {what}.")
    if array.ndim < 2:
        shape = list(array.shape)
        raise DataError(
            f"inputs must have a sample axis and at least one feature axis; those of '{split}' have shape {shape}."
            + (" Give inputs[:, None] if each sample has one feature." if array.ndim == 1 else "")
        )
    if len(array) and not array.size:  # an empty array is named by `Source`
        raise DataError(f"inputs of '{split}' have shape {list(array.shape)}: each sample is empty.")
    return array


def is_table(given: Any) -> bool:
    """Return whether inputs are a pandas data frame, whose columns are features."""
    pandas = sys.modules.get("pandas")  # a pandas object exists only if pandas was imported
    return pandas is not None and isinstance(given, pandas.DataFrame)


def as_pandas(given: Any) -> Any:
    """Return a table or column of another library (polars, PyArrow) as one of pandas, and anything else unchanged.

    >>> import pyarrow
    >>> as_pandas(pyarrow.table({"age": [31, None]})).columns.tolist()
    ['age']
    """
    # as an array, a table would lose the names of its columns; to_pandas alone is no sign of one, as xarray has it too
    is_of_arrow = any(hasattr(given, name) for name in ("__arrow_c_stream__", "__dataframe__"))
    if is_of_arrow and hasattr(given, "to_pandas"):
        return given.to_pandas()
    # of any other library that narwhals knows; a lazy one is computed
    return as_frame_of_pandas(given) if hasattr(type(given), "columns") and not is_table(given) else given


def columns_of(given: Any) -> tuple[str, ...]:
    """Return the names of the columns of a table; none of other inputs."""
    return tuple(map(str, given.columns)) if is_table(given) else ()


def _inputs_as_array(split: str, given: Any) -> NDArray[Any]:
    sparse = sys.modules.get("scipy.sparse")  # a sparse matrix exists only if it was imported
    if sparse and sparse.issparse(given):  # NumPy would make one object of it
        raise DataError(f"inputs of '{split}' are a sparse matrix; convert them with inputs.toarray().")
    if isinstance(given, Tensor):
        return as_numpy(split, given)
    if is_table(given):
        return _from_table(split, given)
    if isinstance(given, np.ma.MaskedArray):
        if np.ma.is_masked(given):  # np.asarray would return the numbers under the mask
            raise DataError(f"inputs of '{split}' contain masked values; fill them, as with inputs.filled(0).")
        return np.asarray(given.data)
    try:
        # np.asarray would read the palette indices of an image, and mix pixels with other numbers
        if isinstance(given, Sequence) and any(map(_is_row, given)):
            return stacked(split, [as_row(split, row) for row in given])
        return np.asarray(given)
    except (TypeError, ValueError) as error:  # rows of different lengths
        reason = str(error).split(".")[0]
        raise DataError(f"inputs of '{split}' must be numbers of the same shape in all samples: {reason}.") from None


def _is_row(given: object) -> bool:
    return isinstance(given, Tensor | np.ndarray) or is_image(given)


def is_image(given: object) -> bool:
    """Return whether something is an image of Pillow."""
    pillow = sys.modules.get("PIL.Image")  # an image exists only if Pillow was imported
    return pillow is not None and isinstance(given, pillow.Image)


def as_row(split: str, given: Any) -> NDArray[Any]:
    """Return the inputs of one sample as an array; an image as its pixels, `[channels, height, width]`."""
    if isinstance(given, Tensor):
        return as_numpy(split, given)
    try:
        return pixels_of(given) if is_image(given) else np.asarray(given)
    except (TypeError, ValueError):  # a tuple of several inputs
        raise DataError(f"each input of '{split}' must be one array of numbers; got {given!r:.60}.") from None


def stacked(split: str, rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the inputs of all samples as one array.

    Raises:
        DataError: when they differ in shape, or some are pixels from 0 to 255 and others are not.
    """
    first = rows[0]
    for number, row in enumerate(rows):
        if row.shape != first.shape:
            raise DataError(
                f"inputs must have one shape for all samples; item {number} of '{split}' has {list(row.shape)}, and "
                f"the first has {list(first.shape)}."
            )
        if (row.dtype == np.uint8) != (first.dtype == np.uint8):  # np.stack would turn pixels into numbers
            raise DataError(
                f"item {number} of '{split}' holds {row.dtype}, and the first {first.dtype}: uint8 are pixels from 0 "
                "to 255, and other numbers are taken as they are. Give one dtype for all."
            )
    return np.stack(rows)


def as_numpy(split: str, tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array, which shares its memory if possible.

    Raises:
        DataError: when the tensor is sparse, quantised or nested.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        raise DataError(f"tensors of '{split}' must be dense, got a sparse, quantised or nested tensor.")
    tensor = tensor.detach().cpu()
    known = (torch.float16, torch.float32, torch.float64)
    if tensor.is_floating_point() and tensor.dtype not in known:  # bfloat16, which NumPy does not have
        tensor = tensor.float()
    return tensor.resolve_conj().resolve_neg().numpy()  # NumPy has no lazy conjugates and negatives


def _from_table(split: str, table: Any) -> NDArray[Any]:
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    for name, dtype in zip(table.columns, table.dtypes, strict=True):
        # complex numbers are numeric for pandas, and their imaginary part would be dropped
        if is_complex_dtype(dtype) or not (is_numeric_dtype(dtype) or is_bool_dtype(dtype)):
            raise DataError(
                f"inputs must be numbers, but column '{name}' of '{split}' has {dtype} values. Encode the column, or "
                "remove it."
            )
    if (missing := np.asarray(table.isna())).any():
        row, column = np.argwhere(missing)[0]
        raise DataError(f"sample {row} of '{split}' has no value in column '{table.columns[column]}'; fill it.")
    return np.asarray(table.to_numpy(dtype=np.float64))  # one dtype for all columns, whatever each has


def _from_objects(split: str, array: NDArray[Any]) -> NDArray[Any]:
    if not any(issubclass(kind, str | bytes) for kind in set(map(type, array.ravel()))):  # NumPy would parse texts
        with suppress(TypeError, ValueError, OverflowError):
            return array.astype(np.float64)  # fractions, decimals, or whole numbers beyond 64 bits
    for place, value in np.ndenumerate(array):  # it cannot be converted; find the value to name
        if not _is_number(value):
            raise DataError(
                f"inputs must be numbers of the same shape in all samples; sample {place[0] if place else 0} of "
                f"'{split}' contains {value!r:.40} ({type(value).__name__})."
            )
    raise DataError(f"inputs of '{split}' must be numbers of the same shape in all samples.")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, str | bytes)
