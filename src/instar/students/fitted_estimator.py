"""What is kept of a fitted estimator: arrays of trees, coefficients, or the file of skops of any other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.models.fitted_content import Content
from instar.trees.arrays import TreeArrays
from instar.trees.files import ARRAY_NAMES, SETTING_NAMES
from instar.trees.reading import as_trees
from instar.trees.stacking import Nodes, stack_trees
from instar.trees.thresholds import largest_in_float32

PROBE_ROWS = 64
"""Rows on which what is kept is compared with the estimator."""

MAX_DIFFERENCE = 1e-5
"""Largest difference of predictions, relative to the range of them."""

ROUNDING = 2.0**-22
"""Largest difference that is rounding of float32, in which some predict, relative to the largest prediction."""


def keep(estimator: Any, rows: NDArray[np.float32], temperature: float, places: list[int]) -> Content:
    """Return the content of a fitted estimator, compared with its own predictions where it is written anew.

    Args:
        estimator: fitted estimator, or trees whose sum is the logits.
        rows: training rows, `[examples, columns]`.
        temperature: factor of the logarithms of probabilities.
        places: class of each of its outputs.

    Raises:
        MismatchError: when no form keeps it.
    """
    facts = {"temperature": temperature, "places": places, "is_probability": hasattr(estimator, "classes_")}
    trees = estimator if isinstance(estimator, TreeArrays) else _find_trees(estimator, rows[:PROBE_ROWS])
    if trees is not None:
        facts |= {"trees": {name: getattr(trees, name) for name in SETTING_NAMES}}
        # margins of trees that classify are logits
        facts["is_probability"] = trees.meaning == "probabilities"
        return Content("trees", {name: getattr(trees, name) for name in ARRAY_NAMES}, facts)
    if (found := _find_line(estimator, rows[:PROBE_ROWS])) is not None:
        weights, biases = found
        return Content("linear", {"weights": weights, "biases": biases}, facts | {"is_probability": False})
    return Content("skops", {"file": _write_skops(estimator)}, facts)


def _find_trees(estimator: Any, rows: NDArray[np.float32]) -> TreeArrays | None:
    try:
        found = _stack_outputs(estimator) or as_trees(estimator)
    except (MismatchError, AttributeError, KeyError):
        return None
    classes = len(getattr(estimator, "classes_", ())) or found.outputs
    if found.meaning == "numbers":
        return found if _is_same(found.predict(rows), estimator.predict(rows)) else None
    own, told = found.predict(rows), estimator.predict_proba(rows)
    own = _softmax(own) if found.meaning == "logits" else own
    return found if found.outputs == classes and _is_same(own, told) else None


def _stack_outputs(estimator: Any) -> TreeArrays | None:
    """Return the trees of a regressor of several numbers; None: it is none."""
    several = list(getattr(estimator, "estimators_", ()))
    if type(estimator).__name__ == "MultiOutputRegressor":
        nodes, bases = [], []
        for place, one in enumerate(several):
            trees = as_trees(one)
            factor = 1 / len(trees.roots) if trees.combine == "mean" else 1.0
            values = np.zeros((len(trees.values), len(several)))
            values[:, place] = trees.values[:, 0] * factor
            ends = [*trees.roots[1:], len(trees.features)]
            for start, end in zip(trees.roots, ends, strict=True):
                at = slice(start, end)
                left, right = (np.where(side[at] < 0, -1, side[at] - start) for side in (trees.left, trees.right))
                features, bounds = trees.features[at], trees.thresholds[at]
                nodes.append(Nodes(features, bounds, left, right, values[at], trees.missing_left[at]))
            bases.append(float(trees.base[0]))
        columns = as_trees(several[0]).columns
        return stack_trees(nodes, columns, combine="sum", meaning="numbers", base=np.array(bases))
    grown = [estimator] if hasattr(estimator, "tree_") else several
    if np.ndim(getattr(estimator, "n_outputs_", None) or 1) or getattr(estimator, "n_outputs_", 1) < 2:
        return None
    if hasattr(estimator, "classes_") or not grown or not all(hasattr(tree, "tree_") for tree in grown):
        return None
    found = [tree.tree_ for tree in grown]
    nodes = [
        Nodes(
            tree.feature, largest_in_float32(tree.threshold, strict=False), tree.children_left, tree.children_right,
            tree.value[:, :, 0], tree.missing_go_to_left,
        )
        for tree in found
    ]  # fmt: skip
    return stack_trees(nodes, estimator.n_features_in_, combine="mean", meaning="numbers")


def _find_line(estimator: Any, rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return weights `[outputs, columns]` and biases of an estimator that is linear in its logits or numbers."""
    if not hasattr(estimator, "coef_") or not hasattr(estimator, "intercept_"):
        return None
    weights = np.atleast_2d(np.asarray(estimator.coef_, np.float64))
    biases = np.broadcast_to(np.asarray(estimator.intercept_, np.float64).reshape(-1), len(weights)).copy()
    classes = len(getattr(estimator, "classes_", ()))
    if classes == 2 and len(weights) == 1:  # the logit of the second above the first
        weights, biases = np.concatenate([0 * weights, weights]), np.concatenate([[0.0], biases])
    if weights.shape[1:] != rows.shape[1:]:
        return None
    scores = rows.astype(np.float64) @ weights.T + biases
    if classes and not hasattr(estimator, "predict_proba"):
        return None
    told = estimator.predict_proba(rows) if classes else estimator.predict(rows)
    return (weights, biases) if _is_same(_softmax(scores) if classes else scores, told) else None


def _write_skops(estimator: Any) -> NDArray[np.uint8]:
    name = type(estimator).__name__
    try:
        import skops.io
    except ImportError:
        raise MismatchError(
            f"{name} has neither trees nor coefficients that Instar keeps, so skops must: pip install 'instar[skops]'."
        ) from None
    if hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba"):
        raise MismatchError(f"{name} has no predict_proba; choose a classifier that has, or a regressor.")
    return np.frombuffer(bytearray(skops.io.dumps(estimator)), np.uint8)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    found: NDArray[np.float64] = shifted / shifted.sum(1, keepdims=True)
    return found


def _is_same(own: NDArray[np.float64], told: NDArray[Any]) -> bool:
    told = np.asarray(told, np.float64).reshape(len(own), -1)  # one number per row has no second axis
    if own.shape != told.shape:
        return False
    # of numbers, the unit is the user's, and may be a millionth as well as a million
    allowed = MAX_DIFFERENCE * float(np.ptp(told)) + ROUNDING * float(np.abs(told).max())
    return bool(np.abs(own - told).max() <= allowed)
