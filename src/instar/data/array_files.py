"""Writing of the inputs of a split into one file of NumPy, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from instar.errors import DataError


class MixedColoursError(DataError):
    """Some images are grey, and others have colour."""


class MixedSizesError(DataError):
    """Images have several sizes."""


class NoRowsError(DataError):
    """A split has no row."""


def write_inputs(
    path: Path, rows: Iterable[NDArray[Any]], count: int, name: str, like: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Write rows into a file, one by one, so that memory does not grow with the data.

    Args:
        path: file to write.
        rows: at most `count` arrays of one shape and dtype.
        count: expected number of rows; fewer may come.
        name: name of the split, for error messages.
        like: a row of an earlier split, whose shape and dtype these rows must have.

    Returns:
        A row of the common shape and dtype.

    Raises:
        MixedColoursError: when images differ in their channels alone.
        MixedSizesError: when images differ in height or width.
        NoRowsError: when there are none.
        DataError: when rows differ otherwise.
    """
    written = 0
    with path.open("wb") as file:  # not a memory map, because a full disk would kill the process without a message
        for index, row in enumerate(rows):
            first = row if like is None else like
            if (row.shape, row.dtype) != (first.shape, first.dtype):
                raise _mismatch(index, name, row, first)
            if not written:
                _write_header(file, row, count)
            file.write(row.tobytes())
            like, written = first, written + 1
        if like is None or not written:  # a file without a header could not be read
            raise NoRowsError(f"'{name}' has no samples.")
        if written != count:
            file.seek(0)  # NumPy leaves room for every number of rows, so the header keeps its length
            _write_header(file, like, written)
    return like


def write_numbers(path: Path, parts: Iterable[Sequence[int]], dtype: type[np.number[Any]]) -> None:
    """Write numbers one behind the other into a vector, part by part, so that memory does not grow with their number.

    Args:
        path: file to write.
        parts: any number of lists of numbers.
        dtype: their type in the file.
    """
    count, none = 0, np.zeros((), dtype)
    with path.open("wb") as file:
        _write_header(file, none, 0)
        for part in parts:
            file.write(np.asarray(part, dtype=dtype).tobytes())
            count += len(part)
        file.seek(0)  # NumPy leaves room for every number, so the header keeps its length
        _write_header(file, none, count)


def _write_header(file: BinaryIO, row: NDArray[Any], count: int) -> None:
    described = np.lib.format.dtype_to_descr(row.dtype)
    header = {"descr": described, "fortran_order": False, "shape": (count, *row.shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _mismatch(index: int, name: str, row: NDArray[Any], first: NDArray[Any]) -> DataError:
    are_images = row.ndim == first.ndim == 3
    told = (
        f"input {index} of '{name}' has shape {list(row.shape)} and {row.dtype} values, but the first has "
        f"{list(first.shape)} and {first.dtype}. All inputs must be alike"
    )
    if are_images and row.dtype != first.dtype:
        return DataError(f"{told}; images of 32 bits have no known range, so convert them, or all others, first.")
    if are_images and row.shape[1:] != first.shape[1:]:
        return MixedSizesError(f"{told}; resize images with data.image_size.")
    if are_images and {len(row), len(first)} == {1, 3}:
        return MixedColoursError(f"{told}; data.channels chooses grey or RGB.")
    return DataError(f"{told}.")
