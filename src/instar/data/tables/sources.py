"""Sources of tables: rows of files and data frames with a column of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.columns.cell_rows import CELLS, CellRows
from instar.data.decoded import map_label_column
from instar.data.source import Source
from instar.data.tables.frames import without_index
from instar.data.tables.reading import read_tables

if TYPE_CHECKING:
    import datasets


def make_table_sources(
    rows: Mapping[str, CellRows],
    labels: Mapping[str, NDArray[np.int64]],
    classes: tuple[str, ...],
    told: str,
) -> dict[str, Source]:
    """Return a source for each split of a table.

    Args:
        rows: cells by the name of the split.
        labels: class numbers of the labelled splits, `[samples]`.
        classes: class names.
        told: where the labels are from.
    """
    found = {}
    for name, cells in rows.items():
        missing = int(cells.values.isnan().sum())
        count = f"{missing:,} value{'s' if missing > 1 else ''} missing"
        found[name] = Source(
            name,
            torch.arange(len(cells)),
            torch.from_numpy(labels.get(name, np.full(len(cells), UNLABELLED))),
            classes,
            columns={CELLS: cells},
            reading=", ".join(filter(None, [count if missing else "", told])),
            feature_names=cells.schema.names,
            input_names=(CELLS,),
        )
    return found


def choose_cells(names: Sequence[str], label_column: str, config: DataConfig) -> list[str]:
    """Return the columns of a table that are its cells."""
    # what draws the test set has other values there, and what only teachers read is a column of its own
    held_out = config.test_where.split("=", 1)[0] if config.test_where else None
    beside = {label_column, held_out, *config.columns}
    return [name for name in names if name not in beside]


def read_table_rows(splits: Mapping[str, datasets.Dataset], label_column: str, config: DataConfig) -> dict[str, Source]:
    """Return sources of rows of files or of a data set, whose columns beside the label are cells.

    Raises:
        DataError: when columns or labels have no or several interpretations.
    """
    labels, classes = map_label_column(splits, label_column, config)
    names = {split: f"{config.source} ({split})" for split in splits}
    tables = {
        names[split]: table.select(choose_cells(table.column_names, label_column, config))
        for split, table in ((split, read_named_classes(part)) for split, part in splits.items())
    }
    known = {names[split]: labels[split] for split in splits}
    sources = make_table_sources(
        read_tables(tables, config), known, tuple(classes), f"labels of column '{label_column}'"
    )
    return {split: sources[name] for split, name in names.items()}


def read_named_classes(rows: datasets.Dataset) -> Any:
    """Return rows as a table of Arrow, with the names of classes where the file holds their numbers."""
    table, features = without_index(rows.with_format("arrow")[:]), rows.features
    for place, name in enumerate(table.column_names):
        if names := getattr(features[name], "names", None):  # numbers of classes, whose names are the words
            table = table.set_column(place, name, _name_classes(table.column(name), names))
    return table


def _name_classes(numbers: Any, names: list[str]) -> Any:
    import pyarrow

    # as categories, so that names such as "1" stay words
    indices = numbers.combine_chunks().cast(pyarrow.int64())
    indices = pyarrow.array([None if at is None or at < 0 else at for at in indices.to_pylist()], pyarrow.int64())
    return pyarrow.chunked_array([pyarrow.DictionaryArray.from_arrays(indices, names)])
