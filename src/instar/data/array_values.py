"""Inputs as people hold them: arrays, tensors, lists and tables of numbers; what is none of these is refused."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.errors import DataError

_WHAT = {"c": "complex numbers", "M": "dates", "m": "durations", "U": "words", "S": "bytes", "V": "records"}


def read_numbers(split: str, given: Any) -> NDArray[Any]:
    """Return inputs as an array of booleans, whole numbers or floats, `[samples, ...]`; it may share their memory.

    Raises:
        DataError: when they hold something else, have no axis of features, or their rows differ in shape.

    >>> read_numbers("train", [torch.zeros(2), torch.ones(2)]).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    array = _as_array(split, given)
    if array.dtype.kind == "O":
        array = _from_objects(split, array)
    if array.dtype.kind not in "biuf":
        what = _WHAT.get(array.dtype.kind, f"values of {array.dtype}")
        raise DataError(f"inputs must be numbers; those of '{split}' are {what}.")
    if array.ndim < 2:
        shape = list(array.shape)
        raise DataError(
            f"inputs must have an axis of samples and at least one of features; those of '{split}' have shape {shape}."
            + (" Give inputs[:, None] if each sample has one feature." if array.ndim == 1 else "")
        )
    if len(array) and not array.size:
        raise DataError(f"inputs of '{split}' have shape {list(array.shape)}: each sample is empty.")
    return array


def is_table(given: Any) -> bool:
    """Return whether inputs are a data frame of pandas, whose columns are features."""
    pandas = sys.modules.get("pandas")  # an object of pandas is there only where pandas was imported
    return pandas is not None and isinstance(given, pandas.DataFrame)


def _as_array(split: str, given: Any) -> NDArray[Any]:
    sparse = sys.modules.get("scipy.sparse")
    if sparse and sparse.issparse(given):
        raise DataError(f"inputs of '{split}' are a sparse matrix; give dense ones, as inputs.toarray().")
    if isinstance(given, Tensor):
        return as_numpy(split, given)
    if is_table(given):
        return _from_table(split, given)
    if isinstance(given, np.ma.MaskedArray):
        if np.ma.is_masked(given):
            raise DataError(f"inputs of '{split}' hold masked values; fill them, as inputs.filled(0).")
        return np.asarray(given.data)
    try:
        if isinstance(given, Sequence) and given and all(isinstance(row, Tensor) for row in given):
            return np.stack([as_numpy(split, row) for row in given])
        return np.asarray(given)
    except (TypeError, ValueError) as error:  # rows of different lengths
        reason = str(error).split(".")[0]
        raise DataError(f"inputs of '{split}' must be numbers in one shape for all samples: {reason}.") from None


def as_numpy(split: str, tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array, which shares its memory where it can.

    Raises:
        DataError: when the tensor is sparse, quantised or nested.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        raise DataError(f"tensors of '{split}' must be dense; a sparse, quantised or nested one was given.")
    tensor = tensor.detach().cpu()
    known = (torch.float16, torch.float32, torch.float64)
    if tensor.is_floating_point() and tensor.dtype not in known:  # bfloat16, which NumPy does not have
        tensor = tensor.float()
    return tensor.resolve_conj().resolve_neg().numpy()


def _from_table(split: str, table: Any) -> NDArray[Any]:
    others = table.select_dtypes(exclude=["number", "bool", "boolean"]).columns
    if len(others):
        raise DataError(
            f"column '{others[0]}' of the inputs of '{split}' holds {table[others[0]].dtype} values; inputs must be "
            "numbers. Encode it, or leave it out."
        )
    if (missing := np.asarray(table.isna())).any():
        row, column = np.argwhere(missing)[0]
        raise DataError(f"sample {row} of '{split}' has no value in column '{table.columns[column]}'; fill it in.")
    return np.asarray(table.to_numpy(dtype=np.float64))


def _from_objects(split: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return objects as floats; in a row of them may stand whole numbers too long for any other dtype."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    for place, value in np.ndenumerate(array):
        try:
            float(value)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"inputs must be numbers in one shape for all samples; sample {place[0] if place else 0} of '{split}' "
                f"holds {value!r:.40} ({type(value).__name__})."
            ) from None
    raise DataError(f"inputs of '{split}' must be numbers in one shape for all samples.")
