"""`instar born-again-tree`: one tree in place of a forest, equal to it everywhere, or grown on manufactured rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from instar.checks import Count, Natural, checked
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.synthetic.grown_trees import grow_on_generated_rows
from instar.data.synthetic.notation import parse_generator
from instar.errors import ConfigError
from instar.importing import TypedName
from instar.paths import local_path
from instar.stages.arguments import DataLike
from instar.stages.configuration import read_data
from instar.teachers.estimator_inputs import read_features
from instar.teachers.fitted_trees import FittedTrees, as_numbers
from instar.teachers.model_files import names_a_model_file, read_model_file
from instar.trees.arrays import TreeArrays
from instar.trees.born_again import Size, make_born_again_tree
from instar.trees.equality import equal
from instar.trees.faithful import grow_faithful_tree
from instar.trees.files import write_trees
from instar.trees.grid import Grid
from instar.trees.pruning import prune_empty_splits
from instar.trees.reading import as_trees

By = Literal["depth", "leaves", "depth then leaves", "samples", "manufactured rows"]
"""Ways to make the tree."""


@dataclass(frozen=True)
class BornAgainTree:
    """A tree in place of a forest.

    Attributes:
        path: file of the tree.
        depth: depth of the tree.
        leaves: its number of leaves.
        forest_trees: number of trees of the forest.
        forest_leaves: number of leaves of all of them.
        cells: number of cells into which the thresholds of the forest cut its space.
        boxes: number of boxes of cells that the proof of equality examined; None: the tree is not equal everywhere.
        agreement: share of the training rows for which it predicts the class of the forest; None: no data were given.
    """

    path: str
    depth: int
    leaves: int
    forest_trees: int
    forest_leaves: int
    cells: int
    boxes: int | None
    agreement: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            self.path,
            f"one tree of depth {self.depth} with {self.leaves:,} leaves, for {self.forest_trees:,} trees with "
            f"{self.forest_leaves:,} leaves",
        ]
        if self.boxes is not None:
            lines.append(
                f"it predicts the same class in all {self.cells:,} cells, proved over {self.boxes:,} boxes of them"
            )
        elif self.agreement is not None:
            lines.append(f"it predicts the same class for {self.agreement:.1%} of the training rows")
        return "\n  ".join(lines)


@checked
def born_again_tree(
    forest: Any,
    *,
    out: str | os.PathLike[str],
    by: By = "depth",
    data: DataLike | None = None,
    settings: Mapping[str, Any] | None = None,
    prune: bool = False,
    method: str | None = None,
    seed: Natural = 0,
    max_boxes: Count = 1_000_000_000,
    trust: bool = False,
) -> BornAgainTree:
    """Make one tree that predicts the class of a forest for every row without missing values, and prove it.

    Pruned trees, and those that are grown on manufactured rows, are smaller, and not equal to the forest everywhere.

    Args:
        forest: fitted tree, forest or boosted trees of scikit-learn, XGBoost or LightGBM; a file of one; or
            `TreeArrays`.
        out: file of the tree, `.safetensors`, which can teach (`--teacher tree.safetensors`).
        by: what is smallest: `depth`, `leaves`, or `depth then leaves`; or `samples`, for a tree that is not the
            smallest, and takes seconds where that takes too long; or `manufactured rows`, for a tree that is grown on
            rows that the forest labels, and pruned on others.
        data: data whose training rows decide what is pruned or manufactured; the columns are those of the forest.
        settings: settings of the data by dotted name, such as `{"data.label_column": "left", "data.test": 0.2}`.
        prune: drop each split one side of which holds no training row.
        method: what manufactures rows: "smearing", "munge", ..., as in `synthesise`; None takes smearing.
        seed: seed of the rows that are manufactured, or of the cells that are drawn.
        max_boxes: most boxes of cells whose smallest trees are computed, 1 byte each for `depth`, 2 for `leaves`.
        trust: allow pickles, which run code, and types that skops does not know to be safe.

    Raises:
        ConfigError: when there is no such file, it is not trusted, `out` exists, or data are missing or of no use.
        MismatchError: when it has no trees that Instar reads, predicts numbers, or is too large; names its size.

    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> forest = RandomForestClassifier(10, max_depth=2, random_state=0).fit(*load_iris(return_X_y=True))
    >>> found = born_again_tree(forest, out=tempfile.mkdtemp() + "/tree.safetensors", by="leaves")
    >>> found.depth, found.leaves, found.forest_leaves
    (11, 26, 32)
    """
    path = local_path(out, "out")
    if path.suffix != ".safetensors":
        raise ConfigError(f"the file of a tree ends in .safetensors, by which a teacher is known; got out='{path}'.")
    if os.path.lexists(path):
        raise ConfigError(f"'{path}' exists; remove it, or choose another --out.")
    is_grown = by == "manufactured rows"
    if data is None and (prune or is_grown):
        raise ConfigError(f"{'prune' if prune else f'by={by!r}'} needs the training rows of the forest; give data.")
    if is_grown and prune:
        raise ConfigError("a tree of manufactured rows has training rows on both sides of each split; leave out prune.")
    if method is not None and not is_grown:
        raise ConfigError(f"method '{method}' manufactures rows, and by={by!r} needs none; leave it out.")
    if settings and data is None:
        raise ConfigError("settings say how data are read, and no data are given; leave them out.")
    generator = parse_generator(method or "smearing", trust=trust or isinstance(method, TypedName))
    trees = as_trees(_read_forest(forest, trust=trust))
    rows: Any = None if data is None else read_training_rows(trees, read_data(data, settings, trust=trust))
    boxes = None
    if by == "manufactured rows":
        tree = grow_on_generated_rows(trees, rows, generator, seed=seed).tree
    else:
        tree = _make_equal(trees, by, seed, max_boxes)
        proof = equal(tree, trees)
        assert proof, "a born-again tree is equal to its forest"
        boxes = proof.boxes
    if prune:
        tree, boxes = prune_empty_splits(tree, rows), None
    agreement = None if rows is None else float((tree.classify(rows) == trees.classify(rows)).mean())
    write_trees(tree, path)
    return BornAgainTree(
        str(path), int(tree.depths[0]), tree.leaf_count, len(trees.roots), trees.leaf_count, Grid(trees).cells, boxes,
        agreement,
    )  # fmt: skip


def _make_equal(trees: TreeArrays, by: Size | Literal["samples"], seed: int, max_boxes: int) -> TreeArrays:
    if by == "samples":
        return grow_faithful_tree(trees, seed=seed)
    return make_born_again_tree(trees, by, max_boxes=max_boxes)


def read_training_rows(trees: TreeArrays, data: Data) -> NDArray[Any]:
    """Return the training rows of data in the columns of trees, `[rows, columns]`.

    Raises:
        MismatchError: when the columns of the trees are not those of the data, or no numbers.
    """
    train = data.train
    (batch,) = Loader(train, len(train), seed=0).in_order()
    rows: NDArray[Any] = as_numbers(read_features(FittedTrees(trees), batch, "forest"))
    trees.apply(rows)  # refuses what is no number, and missing values where the trees do
    return rows


def _read_forest(forest: Any, *, trust: bool) -> Any:
    if not isinstance(forest, str | os.PathLike):
        return forest
    if names_a_model_file(Path(forest)):
        found = read_model_file(Path(forest), trust=trust)
        return getattr(found, "trees", found)  # a file of trees comes as a classifier of them
    raise ConfigError(f"'{forest}' is no file of a forest, such as forest.skops, trees.ubj or trees.txt of LightGBM.")
