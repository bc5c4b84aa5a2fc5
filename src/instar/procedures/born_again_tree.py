"""`instar born-again-tree`: one tree that predicts the class of a forest for every row."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from instar.checks import Count, checked
from instar.errors import ConfigError
from instar.paths import local_path
from instar.teachers.model_files import names_a_model_file, read_model_file
from instar.trees.arrays import TreeArrays
from instar.trees.born_again import Size, make_born_again_tree
from instar.trees.equality import equal
from instar.trees.faithful import grow_faithful_tree
from instar.trees.files import write_trees
from instar.trees.grid import Grid
from instar.trees.reading import as_trees


@dataclass(frozen=True)
class BornAgainTree:
    """A tree that predicts the class of a forest for every row without missing values.

    Attributes:
        path: file of the tree.
        depth: depth of the tree.
        leaves: its number of leaves.
        forest_trees: number of trees of the forest.
        forest_leaves: number of leaves of all of them.
        cells: number of cells into which the thresholds of the forest cut its space.
        boxes: number of boxes of cells that the proof of equality examined.
    """

    path: str
    depth: int
    leaves: int
    forest_trees: int
    forest_leaves: int
    cells: int
    boxes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.path}\n  one tree of depth {self.depth} with {self.leaves:,} leaves, for {self.forest_trees:,} "
            f"trees with {self.forest_leaves:,} leaves\n  it predicts the same class in all {self.cells:,} cells, "
            f"proved over {self.boxes:,} boxes of them"
        )


@checked
def born_again_tree(
    forest: Any,
    *,
    out: str | os.PathLike[str],
    by: Literal["depth", "leaves", "depth then leaves", "samples"] = "depth",
    max_boxes: Count = 500_000_000,
    trust: bool = False,
) -> BornAgainTree:
    """Make one tree that predicts the class of a forest for every row without missing values, and prove it.

    Args:
        forest: fitted tree, forest or boosted trees of scikit-learn, XGBoost or LightGBM; a file of one; or
            `TreeArrays`.
        out: file of the tree, `.safetensors`, which can teach (`--teacher tree.safetensors`).
        by: what is smallest: `depth`, `leaves`, or `depth then leaves`; or `samples`, for a tree that is not the
            smallest, and takes seconds where that takes too long.
        max_boxes: most boxes of cells whose smallest trees are computed, about 3 bytes of memory each.
        trust: allow pickles, which run code, and types that skops does not know to be safe.

    Raises:
        ConfigError: when there is no such file, it is not trusted, or `out` exists.
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
    trees = as_trees(_read_forest(forest, trust=trust))
    tree = _make(trees, by, max_boxes)
    proof = equal(tree, trees)
    assert proof, "a born-again tree is equal to its forest"
    write_trees(tree, path)
    return BornAgainTree(
        str(path), int(tree.depths[0]), tree.leaf_count, len(trees.roots), trees.leaf_count, Grid(trees).cells,
        proof.boxes,
    )  # fmt: skip


def _make(trees: TreeArrays, by: Size | Literal["samples"], max_boxes: int) -> TreeArrays:
    return grow_faithful_tree(trees) if by == "samples" else make_born_again_tree(trees, by, max_boxes=max_boxes)


def _read_forest(forest: Any, *, trust: bool) -> Any:
    if not isinstance(forest, str | os.PathLike):
        return forest
    if names_a_model_file(Path(forest)):
        found = read_model_file(Path(forest), trust=trust)
        return getattr(found, "trees", found)  # a file of trees comes as a classifier of them
    raise ConfigError(f"'{forest}' is no file of a forest, such as forest.skops, trees.ubj or trees.txt of LightGBM.")
