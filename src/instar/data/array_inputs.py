"""Arrays of inputs become tensors that nobody else can change: pixels, numbers or tokens, with channels first."""

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
"""A map of a file that is read-only and larger than this is not copied into memory."""

Kind = Literal["pixels", "numbers", "tokens"]
_DTYPES: dict[Kind, type[np.generic]] = {"pixels": np.uint8, "numbers": np.float32, "tokens": np.int64}
_LARGEST: dict[Kind, int] = {"pixels": 255, "tokens": 2**31 - 1}
_COLOURS = (1, 3, 4)
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Held:
    """Copies of the inputs of a split.

    Args:
        inputs: uint8, float32 or int64, images as `[samples, channels, height, width]`.
        exact: the same in float64, where float32 has rounded them.
    """

    inputs: Tensor
    exact: Tensor | None


def read_inputs(given: Mapping[str, Any], positions: int | None, config: DataConfig) -> tuple[dict[str, Held], str]:
    """Return the inputs of all splits as copies, and in words how they were read.

    uint8 are pixels. Floats and booleans are numbers, and so are other whole numbers; but `[samples, position]` with a
    label at each position are tokens. Images may have their channels last, which is seen by their shape. Where a second
    reading is possible, `config.inputs` and `config.layout` choose.

    Args:
        given: inputs by the name of their split, `[samples, ...]`.
        positions: of the labels of a sample; none: one label each.
        config: `inputs` and `layout`.

    Raises:
        DataError: when inputs are no numbers, are NaN or infinite, have another shape in another split, or several
            readings are possible; then it names the setting that chooses.

    >>> images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    >>> held, reading = read_inputs({"train": images}, None, DataConfig(source="arrays"))
    >>> held["train"].inputs.shape, reading
    (torch.Size([2, 3, 8, 8]), 'pixels, axes read as height, width, channels')
    """
    arrays = {split: read_numbers(split, values) for split, values in given.items()}
    _refuse_other_columns(given)
    order = _order(_shape_of_all(arrays), config.layout)
    kind = config.inputs or _kind(arrays, positions, any(map(is_table, given.values())))
    held: dict[str, Held] = {}
    for split, array in arrays.items():
        inputs = _copied(split, array, kind)
        exact = _exact(array, inputs) if kind == "numbers" else None
        held[split] = Held(_channels_first(inputs, order), None if exact is None else _channels_first(exact, order))
    axes = {"HWC": ", axes read as height, width, channels", "HW": ", axes read as height, width"}.get(order or "", "")
    return held, kind + axes


def _channels_first(inputs: Tensor, order: str | None) -> Tensor:
    if order == "HW":
        return inputs[:, None]
    return inputs.permute(0, 3, 1, 2).contiguous() if order == "HWC" else inputs


def _exact(array: NDArray[Any], inputs: Tensor) -> Tensor | None:
    """Return a copy of numbers in float64; none where `inputs`, float32, are equal to them."""
    if (array.dtype.itemsize <= 4 and array.dtype.kind in "bf") or array.dtype.itemsize <= 2:
        return None
    held = inputs.numpy()
    starts = range(0, len(array), _ROWS_AT_ONCE)
    parts = (slice(start, start + _ROWS_AT_ONCE) for start in starts)
    if all(np.array_equal(array[part], held[part]) for part in parts):
        return None
    return torch.from_numpy(np.array(array, dtype=np.float64, order="C", copy=True))


def _refuse_other_columns(given: Mapping[str, Any]) -> None:
    tables = {split: list(values.columns) for split, values in given.items() if is_table(values)}
    first, *others = tables.items() or [("", [])]
    for split, columns in others:
        if columns != first[1]:
            odd = next(pair for pair in zip([*columns, None], [*first[1], None], strict=False) if pair[0] != pair[1])
            raise DataError(
                f"tables of inputs must have the same columns in the same order; '{split}' has '{odd[0]}' where "
                f"'{first[0]}' has '{odd[1]}'."
            )


def _shape_of_all(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, ...]:
    (first, array), *others = arrays.items()
    for split, other in others:
        if other.shape[1:] != array.shape[1:]:
            raise DataError(
                f"inputs must have one shape in all splits; those of '{first}' have {list(array.shape[1:])} for each "
                f"sample, and those of '{split}' {list(other.shape[1:])}."
            )
    return array.shape[1:]


def _kind(arrays: Mapping[str, NDArray[Any]], positions: int | None, has_table: bool) -> Kind:
    """Return what the numbers are, where one reading is possible."""
    dtypes = {split: array.dtype for split, array in arrays.items()}
    has_positions_alone = positions is not None and all(array.ndim == 2 for array in arrays.values())
    if all(dtype.kind in "iu" for dtype in dtypes.values()) and has_positions_alone:
        return "tokens"
    if all(dtype == np.uint8 for dtype in dtypes.values()):
        return "pixels"
    if any(dtype == np.uint8 for dtype in dtypes.values()):
        told = " and ".join(f"{dtype} in '{split}'" for split, dtype in dtypes.items())
        raise DataError(
            f"inputs are {told}; uint8 are pixels from 0 to 255, and other numbers are taken as they are. Give one "
            "dtype in all splits, or set data.inputs to pixels or numbers."
        )
    if has_table or any(dtype.kind not in "iu" for dtype in dtypes.values()):
        return "numbers"
    if any(array.ndim > 2 or array.min(initial=0) < 0 for array in arrays.values()):
        return "numbers"
    shape = ["samples", *next(iter(arrays.values())).shape[1:]]
    raise DataError(
        f"inputs [{', '.join(map(str, shape))}] of whole numbers may be numbers or tokens. Set data.inputs to numbers "
        "or tokens, or give numbers as floats."
    )


def _order(shape: tuple[int, ...], layout: str | None) -> str | None:
    """Return the order of the axes of images where it is not channels, height, width; none: they are as they are.

    Channels come last where the shape allows nothing else: three, or one or four behind equal height and width. They
    come first where the first axis is followed by two equal ones, or the last is the longest.
    """
    if layout is not None:
        if len(shape) != len(layout):
            axes = ", ".join(layout)
            raise DataError(f"data.layout={layout} needs inputs [samples, {axes}]; a sample has shape {list(shape)}.")
        return layout
    if len(shape) != 3:
        return None
    first, second, last = shape
    if last > min(first, second) or (second == last != first):
        return None
    if (first == second != last and last in _COLOURS) or (last == 3 and first not in _COLOURS):
        return "HWC"
    raise DataError(
        f"inputs of shape {list(shape)} for each sample may be images with {first} channels first or with {last} "
        "channels last. Set data.layout to CHW or HWC."
    )


def _copied(split: str, array: NDArray[Any], kind: Kind) -> Tensor:
    """Return numbers as a tensor of their kind.

    Raises:
        DataError: names the first sample that has a number which is none of this kind.
    """
    if array.dtype.kind == "f":
        _refuse(split, array, "NaN or infinity", lambda rows: ~np.isfinite(rows))
    if kind != "numbers":
        most = _LARGEST[kind]
        what = f"a number that is none of {kind} (whole numbers from 0 to {most:,})"
        _refuse(split, array, what, lambda rows: (rows < 0) | (rows > most) | (rows != np.floor(rows)))
    dtype = np.dtype(_DTYPES[kind])
    is_large_map = isinstance(array, np.memmap) and array.mode == "r" and array.nbytes > MAX_COPIED_MAP_BYTES
    if is_large_map and array.dtype == dtype and array.flags.c_contiguous:
        with warnings.catch_warnings():  # torch warns that nobody may write there, and nobody does
            warnings.simplefilter("ignore")
            return torch.from_numpy(array)
    with np.errstate(over="ignore"):
        copy = np.array(array, dtype=dtype, order="C", copy=True)
    if kind == "numbers" and array.dtype.itemsize > copy.dtype.itemsize:
        _refuse(split, copy, "a number too large for float32", lambda rows: ~np.isfinite(rows))
    return torch.from_numpy(copy)


def _refuse(split: str, array: NDArray[Any], what: str, is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> None:
    for start in range(0, len(array), _ROWS_AT_ONCE):
        if (bad := is_bad(array[start : start + _ROWS_AT_ONCE])).any():
            sample = start + int(np.argwhere(bad)[0, 0])
            raise DataError(f"sample {sample} of '{split}' has {what} among its inputs.")
