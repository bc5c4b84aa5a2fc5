"""The descent of rows to leaves in the compiled code of scikit-learn, several times as fast as NumPy level by level."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from instar.trees.thresholds import EVERYTHING, LEAF, largest_in_float32


class NodeArrays(Protocol):
    """What the descent reads of `TreeArrays`, which makes one."""

    features: NDArray[np.int32]
    thresholds: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    roots: NDArray[np.int32]
    columns: int

    @property
    def open_thresholds(self) -> NDArray[np.float64]:
        """Thresholds, of which those to whose left all numbers go are infinite."""

    @property
    def depths(self) -> NDArray[np.int32]:
        """Depth of each tree."""


class Descent:
    """Finds leaves of float32 rows.

    Args:
        trees: trees, whose checked indices the compiled code follows without looking.
    """

    def __init__(self, trees: NodeArrays) -> None:
        from sklearn.tree import DecisionTreeRegressor

        # of this version of scikit-learn
        empty = DecisionTreeRegressor().fit(np.zeros((2, trees.columns), np.float32), np.zeros(2)).tree_
        values = np.zeros((len(trees.features), 1, 1))
        self._trees = [fill_tree(empty, trees, root, values) for root in trees.roots.tolist()]
        inner = trees.thresholds[(trees.features != LEAF) & (trees.thresholds != EVERYTHING)]
        with np.errstate(over="ignore"):
            below = inner.astype(np.float32)
        below = np.where(below > inner, np.nextafter(below, np.float32(-np.inf)), below)
        self.rounds = bool((largest_in_float32(below, strict=False) == inner).all())
        """Whether float64 rows that are equal in float32 always go the same way, so that they may be rounded."""

    def find_leaves(self, rows: NDArray[np.floating], tree: int) -> NDArray[np.intp]:
        """Return the leaf of each row in a tree, `[rows]`.

        Args:
            rows: float32, or float64 where `rounds`, contiguous `[rows, columns]`.
            tree: number of the tree.
        """
        compiled, places = self._trees[tree]
        with np.errstate(over="ignore"):  # what is too large for float32 is above all of its thresholds
            found: NDArray[np.intp] = places.take(compiled.apply(rows.astype(np.float32, copy=False)))
        return found


def fill_tree(empty: Any, trees: NodeArrays, root: int, values: NDArray[np.float64]) -> tuple[Any, NDArray[np.intp]]:
    """Return a tree of scikit-learn with the nodes below a root, and the number of each of its nodes in `trees`.

    Args:
        empty: any tree of scikit-learn with the same columns and outputs.
        trees: the nodes.
        root: the root.
        values: values of all nodes in the form of scikit-learn, float64 `[nodes, outputs, classes]`.
    """
    places = _below(trees, root)
    numbers = np.full(len(trees.features), LEAF)
    numbers[places] = np.arange(len(places))
    is_leaf = trees.features[places] == LEAF
    make, arguments, state = empty.__reduce__()
    nodes = np.zeros(len(places), state["nodes"].dtype)
    nodes["left_child"] = np.where(is_leaf, LEAF, numbers[trees.left[places]])
    nodes["right_child"] = np.where(is_leaf, LEAF, numbers[trees.right[places]])
    nodes["feature"] = np.where(is_leaf, -2, trees.features[places])
    nodes["threshold"] = np.where(is_leaf, -2.0, trees.open_thresholds[places])
    nodes["n_node_samples"], nodes["weighted_n_node_samples"] = 1, 1.0
    if "missing_go_to_left" in (nodes.dtype.names or ()):
        nodes["missing_go_to_left"] = trees.missing_left[places]
    depth = int(trees.depths[trees.roots.tolist().index(root)])
    found = make(*arguments)  # a new one, because a tree with nodes has no room for others
    found.__setstate__(
        {**state, "max_depth": depth, "node_count": len(places), "nodes": nodes, "values": values[places].copy()}
    )
    return found, places


def _below(trees: NodeArrays, root: int) -> NDArray[np.intp]:
    """Return the nodes of the tree of a root, each after its parent."""
    levels = [np.array([root])]
    while len(levels[-1]):
        inner = levels[-1][trees.features[levels[-1]] != LEAF]
        levels.append(np.stack([trees.left[inner], trees.right[inner]], 1).ravel())
    found: NDArray[np.intp] = np.concatenate(levels)
    return found
