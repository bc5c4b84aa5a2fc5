"""Columns that are given beside inputs and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from instar.config import DataConfig
from instar.data.array_inputs import read_inputs
from instar.data.array_values import read_numbers
from instar.data.columns.held import Held, find_exact
from instar.data.columns.texts import Texts
from instar.data.source import Source
from instar.data.splits import match_splits
from instar.data.text_sources import as_texts
from instar.errors import DataError

READING = DataConfig(source="arrays")
"""Settings that columns are read with: all of them are the defaults."""


def apply_columns(sources: Mapping[str, Source], given: Any) -> dict[str, Source]:
    """Return sources whose samples have further columns.

    Args:
        sources: sources by split.
        given: by the name of the column, arrays or tables by split as `{"train": ..., "test": ...}`, or one for a
            single source; `[samples, ...]` in the order of the inputs. A split may lack a column. uint8 arrays are
            pixels 0..255, floats and booleans are numbers, and strings are texts.

    Raises:
        DataError: when a column has another number of samples, other values, or the name of another column.

    >>> import torch
    >>> source = Source("three", torch.zeros(3, 2), torch.tensor([0, 1, 0]), ("a", "b"))
    >>> apply_columns({"train": source}, {"depth": [[0.5], [1.0], [1.5]]})["train"].column("depth").tolist()
    [[0.5], [1.0], [1.5]]
    """
    if given is None:
        return dict(sources)
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and name for name in given):
        raise DataError("columns must be arrays by name and split, as columns={'depth': {'train': ..., 'test': ...}}.")
    found = dict(sources)
    for name, values in given.items():
        for split, column in _read_column(name, match_splits(sources, values, *_named(name))).items():
            if name in found[split].column_names or name in found[split].columns:
                raise DataError(f"'{sources[split].name}' has a column '{name}' already; choose another name.")
            found[split] = replace(found[split], columns={**found[split].columns, name: column})
    return found


def _named(name: str) -> tuple[str, str]:
    return f"column '{name}'", f"columns={{'{name}': {{'train': ..., 'test': ...}}}}"


def _read_column(name: str, given: Mapping[str, Any]) -> dict[str, Held] | dict[str, Texts]:
    if not given:
        return {}
    texts = {split: as_texts(values) for split, values in given.items()}
    if all(found is not None and len(found) == 1 for found in texts.values()):
        return {split: Texts.of([text or "" for text in found[0]], split) for split, found in texts.items() if found}
    places = {split: f"{split}, column {name}" for split in given}  # for error messages
    arrays = {split: read_numbers(places[split], values) for split, values in given.items()}
    for split, array in arrays.items():
        dtype = array.dtype
        # whole numbers may be pixels, quantities or tokens, and no setting says which a column holds
        if dtype.kind in "iu" and dtype != np.uint8:
            raise DataError(
                f"column '{name}' of '{split}' holds whole numbers ({dtype}); give pixels from 0 to 255 as uint8, and "
                "other numbers as floats."
            )
    # as inputs are read, so that a model that was trained on the column as its inputs can teach from it
    read, _, _ = read_inputs({places[split]: values for split, values in given.items()}, None, READING)
    tensors = {split: read[places[split]].inputs for split in given}
    return {split: Held(tensor, find_exact(arrays[split], tensor)) for split, tensor in tensors.items()}
