"""Trees that are grown on the rows of a generator, all columns of which are numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from instar.checks import Count, Natural, checked
from instar.data.columns.cell_rows import CellRows
from instar.data.columns.schema import Schema, TableColumn
from instar.data.synthetic.generator import FittedGenerator
from instar.data.synthetic.notation import parse_generator
from instar.errors import ConfigError
from instar.seeds import derive
from instar.trees.growing import GrownTree, grow_on_manufactured_rows
from instar.trees.reading import as_trees

HELD_OUT_ROWS = 20_000
"""Manufactured rows on which a tree is pruned."""


@checked
def grow_on_generated_rows(
    forest: Any,
    rows: ArrayLike,
    method: Any = "smearing",
    *,
    seed: Natural = 0,
    rows_per_node: Count = 500,
    max_rows: Count = 200_000,
) -> GrownTree:
    """Grow a tree on rows that a generator makes and a forest labels; see `grow_on_manufactured_rows`.

    Args:
        forest: `TreeArrays`, or a fitted classifier that `as_trees` reads.
        rows: training rows, numbers `[rows, columns]`, without missing values.
        method: generator, or its name: "smearing", "munge", "Smearing(0.25)", ...
        seed: seed of the rows; row i depends on it and on i alone.
        rows_per_node: manufactured rows by which a node is split.
        max_rows: number of rows after which no more are manufactured.

    Raises:
        ConfigError: when the method is unknown, or its rows end.
        MismatchError: when the forest predicts numbers, or rows do not fit it.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(50, random_state=0).fit(x, y)
    >>> found = grow_on_generated_rows(forest, x, rows_per_node=200, max_rows=4000)
    >>> as_trees(forest).leaf_count, found.tree.leaf_count, float((found.tree.classify(x) == forest.predict(x)).mean())
    (446, 4, 0.98)
    """
    trees, generator = as_trees(forest), parse_generator(method)
    table = np.array(rows, np.float64)
    trees.apply(table)  # refuses rows of another number of columns
    names = trees.feature_names or tuple(map(str, range(trees.columns)))
    schema = Schema(tuple(TableColumn(name, "number") for name in names))
    fitted = generator.fit(CellRows(torch.from_numpy(table), schema))
    if fitted.limit is not None:
        raise ConfigError(
            f"a tree is grown on rows that never end, and '{generator}' has {fitted.limit:,}; give smearing."
        )
    held_out = _stream(fitted, derive(seed, "held out"))(0, HELD_OUT_ROWS)
    make = _stream(fitted, seed)
    return grow_on_manufactured_rows(trees, table, make, held_out, rows_per_node=rows_per_node, max_rows=max_rows)


def _stream(fitted: FittedGenerator, seed: int) -> Callable[[int, int], NDArray[np.float64]]:
    def make(first: int, count: int) -> NDArray[np.float64]:
        return torch.cat([part.values for part in fitted.parts(first, count, seed)]).numpy()

    return make
