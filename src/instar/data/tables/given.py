"""Data frames that are given in Python, as cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.config import DataConfig
from instar.data.array_values import is_table
from instar.data.source import Source
from instar.data.tables.frames import as_arrow
from instar.data.tables.reading import read_tables
from instar.data.tables.sources import make_table_sources
from instar.errors import ConfigError, DataError


def needs_cells(inputs: Any) -> bool:
    """Return whether inputs are a data frame with anything but numbers, or with a missing value.

    >>> import pandas
    >>> needs_cells(pandas.DataFrame({"age": [31.5]})), needs_cells(pandas.DataFrame({"plan": ["pro"]}))
    (False, True)
    """
    if not is_table(inputs):
        return False
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    known = [
        (is_numeric_dtype(dtype) or is_bool_dtype(dtype)) and not is_complex_dtype(dtype) for dtype in inputs.dtypes
    ]
    return not all(known) or bool(inputs.isna().to_numpy().any())


def make_frame_sources(
    frames: Mapping[str, Any], labels: Mapping[str, NDArray[np.int64]], classes: tuple[str, ...], config: DataConfig
) -> dict[str, Source]:
    """Return a source for each split of data frames of pandas.

    Args:
        frames: data frames without labels by split.
        labels: class numbers of the labelled splits, `[samples]`.
        classes: class names.
        config: its `leave_out` and `column_types` choose how columns are read.

    Raises:
        DataError: when a split is no data frame, its columns have no or several interpretations, or the number of
            labels differs.
        ConfigError: when a setting of arrays is given.
    """
    for name in ("inputs", "layout"):
        if getattr(config, name) is not None:
            raise ConfigError(f"'{name}' is a setting of arrays, and '{config.source}' is a table.")
    for split, frame in frames.items():
        if not is_table(frame):
            raise DataError(f"inputs must be data frames in all splits; those of '{split}' are {type(frame).__name__}.")
        if split in labels and labels[split].shape != (len(frame),):
            raise DataError(
                f"'{split}' has {len(frame)} rows, and labels of shape {list(labels[split].shape)}; give one for each."
            )
    copies = {split: frame.copy() for split, frame in frames.items()}  # later changes have no effect
    tables = {split: as_arrow(frame, split) for split, frame in copies.items()}
    return make_table_sources(read_tables(tables, config, frames=copies), labels, classes, "")
