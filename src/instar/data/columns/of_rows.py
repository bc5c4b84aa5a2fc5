"""Columns of numbers, of lists of numbers, and of texts, in the rows of files and data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instar.config import DataConfig
from instar.data.columns.held import INPUTS, Held, find_exact
from instar.data.columns.texts import Texts
from instar.data.decoded import map_label_column
from instar.data.images import decode_numbers, number_type
from instar.data.named_inputs import make_named_sources, read_named, refuse_odd_names
from instar.data.opening import join_names
from instar.data.reading import Reading
from instar.data.source import Source
from instar.errors import DataError, nearest, shortened

if TYPE_CHECKING:
    import datasets

STRINGS = ("string", "large_string")
"""Types of columns of texts in data sets."""


def read_named_columns(
    splits: Mapping[str, datasets.Dataset], reading: Reading, config: DataConfig
) -> dict[str, Source]:
    """Return sources whose inputs are several columns by name.

    Raises:
        DataError: when a column is missing, or does not hold numbers.
    """
    refuse_odd_names(config.input_columns, config.source)
    found = {column: read_column(splits, column, config.source) for column in config.input_columns}
    for column, values in found.items():
        if missing := [split for split in splits if split not in values]:
            raise DataError(f"data '{config.source}' has no column '{column}' in {missing[0]}, and all splits need it.")
    labels, classes = map_label_column(splits, reading.labels, config)
    names = {split: f"{config.source} ({split})" for split in splits}
    inputs = {names[split]: {column: values[split] for column, values in found.items()} for split in splits}
    known = {names[split]: labels[split] for split in splits}
    sources = make_named_sources(inputs, known, tuple(classes), config)
    told = f"columns {', '.join(found)}, labels of column '{reading.labels}'"
    return {split: replace(sources[name], reading=told) for split, name in names.items()}


def add_columns(
    sources: Mapping[str, Source],
    splits: Mapping[str, datasets.Dataset],
    skipped: Mapping[str, Sequence[int]],
    reading: Reading,
    config: DataConfig,
) -> dict[str, Source]:
    """Return sources with the columns beside the inputs that `config.columns` names.

    Args:
        sources: sources by split.
        splits: rows by split, in the order of the samples.
        skipped: rows by split that are no samples, because their images cannot be decoded.
        reading: columns of inputs and labels.
        config: names of data and columns.

    Raises:
        DataError: when a column is missing, or holds neither numbers nor texts, or the samples are no rows.
    """
    if config.columns and reading.kind in ("text", "instructions", "labelled words"):
        raise DataError(
            f"samples of the {reading.kind} '{config.source}' are no rows, so they have no columns; leave out "
            "data.columns."
        )
    found = dict(sources)
    for column in config.columns:
        kept = {split: np.delete(np.arange(len(rows)), list(skipped.get(split, ()))) for split, rows in splits.items()}
        for split, values in _read_beside(splits, column, kept, config).items():
            if column in (INPUTS, *found[split].input_names, *found[split].columns):
                raise DataError(f"'{config.source}' has a column '{column}' already; call it otherwise.")
            found[split] = replace(found[split], columns={**found[split].columns, column: values})
    return found


def _read_beside(
    splits: Mapping[str, datasets.Dataset], column: str, kept: Mapping[str, NDArray[np.int64]], config: DataConfig
) -> dict[str, Held] | dict[str, Texts]:
    holding = {split: rows for split, rows in splits.items() if column in rows.features}
    if "train" in holding and getattr(holding["train"].features[column], "dtype", "") in STRINGS:
        texts = {split: rows.select_columns([column])[kept[split]][column] for split, rows in holding.items()}
        return {
            split: Texts.of([str(text or "") for text in each], f"{config.source} ({split})")
            for split, each in texts.items()
        }
    values = read_column(splits, column, config.source)
    tensors = read_named(column, {split: array[kept[split]] for split, array in values.items()}, config)
    found = {}
    for split, tensor in tensors.items():
        numbers, kind = values[split], str(getattr(holding[split].features[column], "dtype", ""))
        if numbers.shape[1:] == (1,) and numbers.dtype == np.float64 and kind.startswith(("int", "uint")):
            numbers = np.array(holding[split][column][:])[:, None]  # above 2**53, float64 rounds them too
        found[split] = Held(tensor, find_exact(numbers[kept[split]], tensor))
    return found


def read_column(splits: Mapping[str, datasets.Dataset], column: str, name: str) -> dict[str, NDArray[Any]]:
    """Return the values of a column by split, `[samples, 1]` of numbers and `[samples, ...]` of lists.

    Single numbers and booleans become floats, because they are quantities. Lists keep their type.

    Args:
        splits: rows by split; a split may lack the column, except the first.
        column: name of the column.
        name: name of the data, for messages.

    Raises:
        DataError: when there is no such column, it holds anything but numbers, or a value is missing.
    """
    found: dict[str, NDArray[Any]] = {}
    for split, rows in splits.items():
        if column not in rows.features:
            if found:
                continue
            raise DataError(f"data '{name}' has no column '{column}' in {split}; {nearest(column, rows.features)}")
        where = f"{name} ({split})"
        if number_type(rows.features[column]) is not None:
            found[split] = _stack(list(decode_numbers(rows, column, where)), column, where)
        else:
            found[split] = _read_numbers(rows, column, where)[:, None]
    return found


def _stack(rows: Sequence[NDArray[Any]], column: str, where: str) -> NDArray[Any]:
    odd = next((index for index, row in enumerate(rows) if row.shape != rows[0].shape), None)
    if odd is not None:
        raise DataError(
            f"column '{column}' of '{where}' must have lists of one length; row {odd} has {list(rows[odd].shape)}, and "
            f"the first {list(rows[0].shape)}. Pad them, and give a mask of the padding as a column of its own."
        )
    return np.stack(rows)


def _read_numbers(rows: datasets.Dataset, column: str, where: str) -> NDArray[np.float64]:
    kind = str(getattr(rows.features[column], "dtype", ""))
    is_number = kind == "bool" or kind.startswith(("int", "uint", "float", "decimal"))
    if not is_number or hasattr(rows.features[column], "names"):
        texts = " Texts may be beside the inputs (data.columns), where a teacher reads them." if kind in STRINGS else ""
        raise DataError(
            f"column '{column}' of '{where}' holds {kind or 'no numbers'}; expected numbers or lists of numbers. "
            f"Columns: {join_names(rows.features, 20)}.{texts}"
        )
    values = rows[column]
    missing = next((index for index, value in enumerate(values) if value is None), None)
    if missing is not None:
        raise DataError(f"column '{column}' of '{where}' has no value in row {missing}; fill it, or leave out the row.")
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"column '{column}' of '{where}' cannot be read: {shortened(error)}.") from None
