"""Refuses arrays that are no trees, such as those of a damaged file, before anything follows their indices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instar.errors import MismatchError

MAX_NODES = 2**31 - 1
"""Most nodes that int32 numbers."""

MAX_SUM_ERROR = 1e-5
"""Largest difference of the sum of a leaf's probabilities from 1 through the rounding of float32."""


def as_indices(array: ArrayLike, name: str) -> NDArray[np.int32]:
    """Return whole numbers as int32.

    Raises:
        MismatchError: when they are no whole numbers, or too large.
    """
    found = np.asarray(array)
    if found.dtype.kind not in "iu" or (found.size and not -1 <= int(found.min()) <= int(found.max()) <= MAX_NODES):
        raise MismatchError(f"{name} of trees must be whole numbers from -1 to {MAX_NODES:,}, got {_describe(found)}.")
    return np.ascontiguousarray(found, np.int32)


def as_floats(array: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return finite numbers as float64.

    Raises:
        MismatchError: when they are no numbers, or not finite.
    """
    found = np.asarray(array)
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise MismatchError(f"{name} of trees must be finite numbers, got {_describe(found)}.")
    return np.ascontiguousarray(found, np.float64)


def refuse_broken(trees: Any) -> None:
    """Refuse arrays that are no trees.

    Args:
        trees: `TreeArrays`, before anybody else has it.

    Raises:
        MismatchError: when a shape, an index, a name or a probability does not fit; names the first node.
    """
    _refuse_settings(trees)
    _refuse_shapes(trees)
    leaf, own = trees.features == -1, np.arange(len(trees.features))
    _refuse_nodes(trees.features >= trees.columns, f"compares a column above the last, {trees.columns - 1}")
    for children, side in ((trees.left, "left"), (trees.right, "right")):
        _refuse_nodes(leaf & (children != -1), f"is a leaf and has a {side} child; a leaf has -1")
        _refuse_nodes(~leaf & (children >= len(own)), f"has a {side} child above the last node, {len(own) - 1}")
        # so there is no circle, and following children ends
        _refuse_nodes(~leaf & (children <= own), f"has a {side} child that does not come after it")
    if trees.roots.min() < 0 or trees.roots.max() >= len(own):
        raise MismatchError(f"the roots of trees must be nodes from 0 to {len(own) - 1}, got {_describe(trees.roots)}.")
    parents = np.bincount(np.concatenate([trees.left[~leaf], trees.right[~leaf], trees.roots]), minlength=len(own))
    _refuse_nodes(parents > 1, "belongs to two nodes or trees; each node has one parent, or is the root of one tree")
    _refuse_nodes(parents == 0, "belongs to no tree; each node has one parent, or is the root of one tree")
    if trees.meaning == "probabilities" and trees.combine == "mean":
        off = np.abs(trees.values.sum(1) - 1) > MAX_SUM_ERROR
        _refuse_nodes(
            leaf & ((trees.values < 0).any(1) | off), "is a leaf whose probabilities are not from 0 to 1 with the sum 1"
        )


def _refuse_settings(trees: Any) -> None:
    if trees.combine not in ("mean", "sum") or trees.meaning not in ("probabilities", "logits", "numbers"):
        raise MismatchError(
            "trees are combined by mean or sum, and their outputs are probabilities, logits or numbers; got "
            f"{trees.combine!r} and {trees.meaning!r}."
        )
    if trees.meaning == "probabilities" and (trees.combine != "mean" or trees.base.any()):
        raise MismatchError("probabilities of trees are averaged without a base; what is added is logits or numbers.")
    columns: Any = trees.columns
    if isinstance(columns, bool) or not isinstance(columns, int | np.integer) or not 1 <= columns <= MAX_NODES:
        raise MismatchError(f"columns of trees must be a whole number of at least 1, got {columns!r}.")
    if not isinstance(trees.allows_missing, bool | np.bool_):
        raise MismatchError(f"allows_missing of trees must be true or false, got {trees.allows_missing!r}.")
    for names, what, count in (
        (trees.feature_names, "feature_names", columns),
        (trees.classes, "classes", trees.values.shape[-1] if trees.values.ndim else 0),
    ):
        if not all(isinstance(name, str) for name in names) or (names and len(set(names)) != count):
            raise MismatchError(f"{what} of trees must be {count} different names, got {len(names)}: {names}.")


def _refuse_shapes(trees: Any) -> None:
    nodes = trees.features.shape[0] if trees.features.ndim else 0
    outputs = trees.values.shape[-1] if trees.values.ndim else 0
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(
        ("features", "thresholds", "left", "right", "missing_left"), (nodes,)
    )
    wanted |= {"values": (nodes, outputs), "base": (outputs,), "roots": (trees.roots.size,)}
    for name, shape in wanted.items():
        if getattr(trees, name).shape != shape or not all(shape):
            raise MismatchError(
                f"{name} of trees must have the shape {list(shape)}, all of at least 1, got "
                f"{list(getattr(trees, name).shape)}."
            )
    if trees.missing_left.dtype != np.bool_:
        raise MismatchError(f"missing_left of trees must be true or false, got {trees.missing_left.dtype}.")


def _refuse_nodes(broken: NDArray[np.bool_], what: str) -> None:
    if broken.any():
        raise MismatchError(f"the arrays are no trees: node {int(broken.argmax())} {what}.")


def _describe(array: NDArray[Any]) -> str:
    if not array.size or array.dtype.kind not in "fiu":
        return f"{array.size} values of {array.dtype}"
    return f"{array.size} values of {array.dtype} from {array.min():g} to {array.max():g}"
