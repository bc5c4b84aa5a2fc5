"""Sources whose samples are texts, or pairs of texts, with a label each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.columns.texts import TEXT, TEXT_PAIR, Texts
from instar.data.decoded import map_label_column
from instar.data.reading import Reading
from instar.data.source import Source
from instar.errors import DataError

if TYPE_CHECKING:
    import datasets

_PAIR = (TEXT, TEXT_PAIR)


def read_labelled_texts(
    splits: Mapping[str, datasets.Dataset], reading: Reading, config: DataConfig
) -> dict[str, Source]:
    """Return sources of the texts, or the pairs of texts, in the rows of files, with their labels.

    Raises:
        DataError: when a column is missing in a split, or labels have several interpretations.
    """
    columns = config.input_columns or (reading.inputs,)
    for split, rows in splits.items():
        if missing := [column for column in columns if column not in rows.features]:
            raise DataError(f"data '{config.source}' has no column '{missing[0]}' in {split}, and all splits need it.")
    labels, classes = map_label_column(splits, reading.labels, config)
    names = {split: f"{config.source} ({split})" for split in splits}
    texts = {names[split]: [rows[column] for column in columns] for split, rows in splits.items()}
    known = {names[split]: labels[split] for split in splits}
    sources = make_text_sources(texts, known, tuple(classes))
    told = f"texts of {_list_columns(columns)}, labels of column '{reading.labels}'"
    return {split: replace(sources[name], reading=told) for split, name in names.items()}


def make_text_sources(
    texts: Mapping[str, Sequence[Sequence[str | None]]],
    labels: Mapping[str, NDArray[np.int64]],
    classes: tuple[str, ...],
) -> dict[str, Source]:
    """Return a source for each split.

    Args:
        texts: by split, the texts of its samples, or first and second texts; a missing text is an empty one.
        labels: class numbers of the labelled splits, `[samples]`.
        classes: class names.

    Raises:
        DataError: when texts and labels differ in number, or all texts of a split are empty.

    >>> make_text_sources({"train": [["good", None]]}, {}, ("-", "+"))["train"].texts("text").strings()
    ['good', '']
    """
    sources = {}
    for name, given in texts.items():
        columns = {
            column: Texts.of([text or "" for text in each], name) for column, each in zip(_PAIR, given, strict=False)
        }
        empty = torch.stack([column.sizes == 0 for column in columns.values()]).all(0)
        if len(empty) and empty.all():
            raise DataError(f"all texts of '{name}' are empty, so there is nothing to read; choose another column.")
        here = labels.get(name, np.full(len(empty), UNLABELLED))
        sources[name] = Source(
            name,
            torch.arange(len(empty)),
            torch.from_numpy(here),
            classes,
            columns=columns,
            input_names=tuple(columns),
        )
    return sources


def _list_columns(columns: Sequence[str]) -> str:
    return f"column '{columns[0]}'" if len(columns) == 1 else "pairs of columns " + " and ".join(map(repr, columns))


def as_texts(inputs: Any) -> list[list[str | None]] | None:
    """Return a column of texts, or both columns of pairs of texts; None for other inputs.

    Args:
        inputs: strings in a list, an array or a column of a data frame; pairs of strings; or one or two of these by
            name. None and NaN are missing texts.

    >>> as_texts(["good", None]), as_texts([("a", "b"), ("c", "d")]), as_texts(np.zeros((2, 3))), as_texts("good")
    ([['good', None]], [['a', 'c'], ['b', 'd']], None, None)
    """
    if isinstance(inputs, Mapping):
        columns = [_read_column(values) for values in inputs.values()]
    else:
        items = list(inputs) if isinstance(inputs, list | tuple) else []
        pairs = [one for one in items if isinstance(one, list | tuple) and len(one) == len(_PAIR)]
        are_pairs = bool(pairs) and len(pairs) == len(items)
        columns = [_read_column(list(one)) for one in zip(*pairs, strict=True)] if are_pairs else [_read_column(inputs)]
    found = [column for column in columns if column is not None]
    return found if len(found) == len(columns) in (1, len(_PAIR)) else None


def _read_column(values: Any) -> list[str | None] | None:
    if hasattr(values, "iloc") and getattr(values, "ndim", 0) == 1:  # pandas fills columns of texts with NaN
        values = [None if gone else one for one, gone in zip(values, values.isna(), strict=True)]
    elif isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "OU":
        values = values.tolist()
    if not isinstance(values, list | tuple) or not any(isinstance(one, str) for one in values):
        return None
    return list(values) if all(one is None or isinstance(one, str) for one in values) else None
