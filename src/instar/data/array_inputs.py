"""Conversion of input arrays to tensors of pixels, numbers or tokens, with channels first."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.config import DataConfig
from instar.data.array_values import is_table, read_numbers
from instar.errors import DataError

MAX_COPIED_MAP_BYTES = 2 << 30
"""Largest read-only memory map that is copied into memory; larger maps are used in place."""

InputKind = Literal["pixels", "numbers", "tokens"]
_DTYPES: dict[InputKind, type[np.generic]] = {"pixels": np.uint8, "numbers": np.float32, "tokens": np.int64}
_MAX_VALUES: dict[InputKind, int] = {"pixels": 255, "tokens": 2**31 - 1}
_CHANNEL_COUNTS = (1, 3, 4)  # grey, RGB, RGBA
_ROWS_PER_CHECK = 4096  # bounds the temporary arrays of a check; the inputs may be mapped and larger than memory


@dataclass(frozen=True, eq=False)
class CopiedInputs:
    """Copies of the inputs of a split.

    Args:
        inputs: uint8, float32 or int64; images are `[samples, channels, height, width]`.
        exact: inputs as float64, if float32 rounded them.
    """

    inputs: Tensor
    exact: Tensor | None


def read_inputs(
    given: Mapping[str, Any], positions: int | None, config: DataConfig
) -> tuple[dict[str, CopiedInputs], InputKind, str | None]:
    """Return copies of the inputs of all splits, their kind, and their layout if it was not channels first.

    uint8 arrays are pixels. Floats, booleans and other integers are numbers, except that integers `[samples, position]`
    with a label at each position are tokens. The shape tells whether images have their channels last. If several
    readings are possible, `config.inputs` and `config.layout` decide.

    Args:
        given: inputs by split, `[samples, ...]`.
        positions: number of labels per sample; None: one label per sample.
        config: its `inputs` and `layout` choose the reading.

    Raises:
        DataError: when inputs are not numbers, are NaN or infinite, or differ in shape between splits. If several
            readings are possible, names the setting to choose one.

    >>> images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    >>> held, kind, order = read_inputs({"train": images}, None, DataConfig(source="arrays"))
    >>> held["train"].inputs.shape, kind, order
    (torch.Size([2, 3, 8, 8]), 'pixels', 'HWC')
    """
    arrays = {split: read_numbers(split, values) for split, values in given.items()}
    _refuse_other_columns(given)
    order = _find_axes(_shape_of_all(arrays), config.layout)
    kind = config.inputs or _find_kind(arrays, positions, any(map(is_table, given.values())))
    held: dict[str, CopiedInputs] = {}
    for split, array in arrays.items():
        inputs = _copy_inputs(split, array, kind)
        exact = _copy_exact(array, inputs) if kind == "numbers" else None
        held[split] = CopiedInputs(
            _channels_first(inputs, order), None if exact is None else _channels_first(exact, order)
        )
    return held, kind, order


def _channels_first(inputs: Tensor, order: str | None) -> Tensor:
    if order == "HW":
        return inputs[:, None]
    return inputs.permute(0, 3, 1, 2).contiguous() if order == "HWC" else inputs


def _copy_exact(array: NDArray[Any], inputs: Tensor) -> Tensor | None:
    # a decision tree may split between two numbers that are equal in float32, which is exact up to 2^24
    if (array.dtype.itemsize <= 4 and array.dtype.kind in "bf") or array.dtype.itemsize <= 2:
        return None
    held = inputs.numpy()
    starts = range(0, len(array), _ROWS_PER_CHECK)
    parts = (slice(start, start + _ROWS_PER_CHECK) for start in starts)
    if all(np.array_equal(array[part], held[part]) for part in parts):  # a second copy would only take memory
        return None
    return torch.from_numpy(np.array(array, dtype=np.float64, order="C", copy=True))


def _refuse_other_columns(given: Mapping[str, Any]) -> None:
    # columns become numbers by their place, so a test table in another order would be read without an error
    tables = {split: list(values.columns) for split, values in given.items() if is_table(values)}
    first, *others = tables.items() or [("", [])]
    for split, columns in others:
        if columns != first[1]:
            odd = next(pair for pair in zip([*columns, None], [*first[1], None], strict=False) if pair[0] != pair[1])
            raise DataError(
                f"input tables must have the same columns in the same order in all splits; '{split}' has '{odd[0]}' "
                f"where '{first[0]}' has '{odd[1]}'."
            )


def _shape_of_all(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, ...]:
    (first, array), *others = arrays.items()
    for split, other in others:
        if other.shape[1:] != array.shape[1:]:
            raise DataError(
                f"inputs must have the same shape in all splits; a sample of '{first}' has shape "
                f"{list(array.shape[1:])}, and one of '{split}' {list(other.shape[1:])}."
            )
    return array.shape[1:]


def _find_kind(arrays: Mapping[str, NDArray[Any]], positions: int | None, has_table: bool) -> InputKind:
    dtypes = {split: array.dtype for split, array in arrays.items()}
    # whole numbers with a label each are the words of a text or the like; the features of a sample share one label
    has_positions_alone = positions is not None and all(array.ndim == 2 for array in arrays.values())
    if all(dtype.kind in "iu" for dtype in dtypes.values()) and has_positions_alone:
        return "tokens"
    if all(dtype == np.uint8 for dtype in dtypes.values()):
        return "pixels"
    if any(dtype == np.uint8 for dtype in dtypes.values()):
        told = " and ".join(f"{dtype} in '{split}'" for split, dtype in dtypes.items())
        raise DataError(
            f"inputs are {told}; uint8 means pixels from 0 to 255, and other types mean numbers. Use one dtype in all "
            "splits, or set data.inputs to pixels or numbers."
        )
    if has_table or any(dtype.kind not in "iu" for dtype in dtypes.values()):
        return "numbers"
    # tokens are one row of numbers from 0 for each sample
    if any(array.ndim > 2 or array.min(initial=0) < 0 for array in arrays.values()):
        return "numbers"
    shape = ["samples", *next(iter(arrays.values())).shape[1:]]
    raise DataError(
        f"inputs [{', '.join(map(str, shape))}] of whole numbers may be numbers or tokens. Set data.inputs to numbers "
        "or tokens, or give numbers as floats."
    )


def _find_axes(shape: tuple[int, ...], layout: str | None) -> str | None:
    # Channels are last if the shape allows nothing else: three, or one or four after equal height and width. They are
    # first if two equal axes follow the first, or the last axis is the longest. None means: as they are.
    if layout is not None:
        if len(shape) != len(layout):
            axes = ", ".join(layout)
            raise DataError(
                f"data.layout={layout} needs inputs [samples, {axes}], but a sample has shape {list(shape)}."
            )
        return layout
    if len(shape) != 3:
        return None
    first, second, last = shape
    if last > min(first, second) or (second == last != first):
        return None
    if (first == second != last and last in _CHANNEL_COUNTS) or (last == 3 and first not in _CHANNEL_COUNTS):
        return "HWC"
    raise DataError(
        f"inputs of shape {list(shape)} per sample may be images with {first} channels first or with {last} channels "
        "last. Set data.layout to CHW or HWC."
    )


def _copy_inputs(split: str, array: NDArray[Any], kind: InputKind) -> Tensor:
    if array.dtype.kind == "f":
        _refuse_values(split, array, "NaN or infinity", lambda rows: ~np.isfinite(rows))
    if kind != "numbers":  # a conversion to whole numbers would cut fractions and wrap what is too large
        most = _MAX_VALUES[kind]
        what = f"a number that is not valid as {kind} (whole numbers from 0 to {most:,})"
        _refuse_values(split, array, what, lambda rows: (rows < 0) | (rows > most) | (rows != np.floor(rows)))
    dtype = np.dtype(_DTYPES[kind])
    is_large_map = isinstance(array, np.memmap) and array.mode == "r" and array.nbytes > MAX_COPIED_MAP_BYTES
    if is_large_map and array.dtype == dtype and array.flags.c_contiguous:
        with warnings.catch_warnings():  # torch warns about read-only memory, and nothing writes to it
            warnings.simplefilter("ignore")
            return torch.from_numpy(array)
    with np.errstate(over="ignore"):  # what overflows to infinity is named below, with its sample
        copy = np.array(array, dtype=dtype, order="C", copy=True)
    if kind == "numbers" and array.dtype.itemsize > copy.dtype.itemsize:
        _refuse_values(split, copy, "a number too large for float32", lambda rows: ~np.isfinite(rows))
    return torch.from_numpy(copy)


def _refuse_values(
    split: str, array: NDArray[Any], what: str, is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]
) -> None:
    for start in range(0, len(array), _ROWS_PER_CHECK):
        if (bad := is_bad(array[start : start + _ROWS_PER_CHECK])).any():
            sample = start + int(np.argwhere(bad)[0, 0])  # the first axis is the sample, whatever the shape
            raise DataError(f"sample {sample} of '{split}' has {what} among its inputs.")
