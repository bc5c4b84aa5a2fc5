"""Reading of labels that are numbers, as one class for each distinct number; `numbered.py` makes them numbers again.

So whatever reads labels reads numbers too: tables, texts, images, recordings and their copies in the cache.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.label_values import as_python, labels_as_array
from instar.errors import ConfigError, DataError


def map_numbers(splits: Mapping[str, Any], config: DataConfig) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return a place in the sorted distinct numbers for each label, `UNLABELLED` for missing ones, and the numbers.

    Args:
        splits: labels by split, `[samples]`.
        config: its `unlabelled` marks missing labels.

    Returns:
        Places by split, int64 `[samples]`, and the distinct numbers of all splits as text that is read as the same.

    Raises:
        DataError: when a label is no finite number; names its place.
        ConfigError: when a setting of classes is given.

    >>> map_numbers({"train": [2.5, None, 1]}, DataConfig(source="arrays", labels="numbers"))
    ({'train': array([ 1, -1,  0])}, ('1.0', '2.5'))
    """
    if config.classes:
        raise ConfigError("data.classes names classes, and data.labels=numbers reads numbers; leave one of them out.")
    found = {split: _read(split, given, config.unlabelled) for split, given in splits.items()}
    known = [values[~np.isnan(values)] for values in found.values()]
    distinct = np.unique(np.concatenate([np.zeros(0), *known]))
    places = {
        split: np.where(np.isnan(values), UNLABELLED, np.searchsorted(distinct, values)).astype(np.int64)
        for split, values in found.items()
    }
    return places, tuple(map(repr, distinct.tolist()))


def _read(split: str, given: Any, unlabelled: int | str | None) -> NDArray[np.float64]:
    array, known = labels_as_array(split, given)
    if array.ndim > 1:
        raise DataError(f"labels of '{split}' must be one number per sample; got an array {list(array.shape)}.")
    if array.dtype.kind == "O":
        import pandas as pd

        array = np.frompyfunc(as_python, 1, 1)(array)
        known = known & ~np.asarray(pd.isna(array), dtype=bool)
    for place in np.flatnonzero(known).tolist() if array.dtype.kind not in "iuf" else ():
        value = array[place]
        # a file is read as text where any label is no number, so the numbers before that one are not the fault
        is_text_of_number = isinstance(value, str) and len(set(map(type, array[known]))) == 1 and _is_number(value)
        if is_text_of_number and not all(map(_is_number, array[known])):
            continue
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
            raise DataError(
                f"labels must be numbers (data.labels=numbers); sample {place} of '{split}' has the label "
                f"{value!r:.40} ({type(value).__name__})."
            )
    values = np.full(len(array), np.nan)
    values[known] = array[known].astype(np.float64)
    if (infinite := np.isinf(values)).any():
        place = int(np.flatnonzero(infinite)[0])
        raise DataError(f"labels must be finite; sample {place} of '{split}' has the label {values[place]}.")
    if unlabelled is not None:
        values[values == _as_number(unlabelled)] = np.nan
    return values


def _as_number(unlabelled: int | str) -> float:
    try:
        return float(unlabelled)
    except ValueError:
        raise ConfigError(f"data.unlabelled must be a number where labels are, got {unlabelled!r}.") from None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
