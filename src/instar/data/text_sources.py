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
    return {split: replace(sources[name], reading=told + sources[name].reading) for split, name in names.items()}


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

    >>> source = make_text_sources({"train": [["good", None]]}, {"train": np.array([1, 0])}, ("-", "+"))["train"]
    >>> source.texts("text").strings(), source.reading
    (['good', ''], ', 1 of them empty')
    """
    sources = {}
    for name, given in texts.items():
        columns = {
            column: Texts.of([text or "" for text in each], name)
            for column, each in zip((TEXT, TEXT_PAIR), given, strict=False)
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
            reading=f", {int(empty.sum()):,} of them empty" if empty.any() else "",
        )
    return sources


def _list_columns(columns: Sequence[str]) -> str:
    return f"column '{columns[0]}'" if len(columns) == 1 else "pairs of columns " + " and ".join(map(repr, columns))


def as_texts(inputs: Any) -> list[str | None] | None:
    """Return inputs as a list of strings, with None where one is missing; None if they are something else.

    >>> as_texts(["good", None]), as_texts(np.zeros((2, 3))), as_texts("good")
    (['good', None], None, None)
    """
    if hasattr(inputs, "iloc") and getattr(inputs, "ndim", 0) == 1:  # pandas fills columns of texts with NaN
        inputs = [None if gone else one for one, gone in zip(inputs, inputs.isna(), strict=True)]
    elif isinstance(inputs, np.ndarray) and inputs.ndim == 1 and inputs.dtype.kind in "OU":
        inputs = inputs.tolist()
    if not isinstance(inputs, list | tuple) or not any(isinstance(one, str) for one in inputs):
        return None
    return list(inputs) if all(one is None or isinstance(one, str) for one in inputs) else None
