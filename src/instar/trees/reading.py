"""The trees of a fitted model of any library, compared with its own predictions before anybody uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.from_lightgbm import predict_lightgbm, read_lightgbm
from instar.trees.from_scikit_learn import predict_scikit_learn, read_scikit_learn
from instar.trees.from_xgboost import predict_xgboost, read_xgboost
from instar.trees.thresholds import LEAF

PROBE_ROWS = 64
"""Rows on which trees and model are compared."""

MAX_DIFFERENCE = 1e-4
"""Largest difference, relative to the largest output, through the sums of float32 of a library with many trees."""


class _Library(NamedTuple):
    read: Callable[[Any], TreeArrays]
    predict: Callable[[Any, TreeArrays, NDArray[np.float64]], NDArray[np.float64]]
    """Returns what the model itself predicts for rows, in the form of `TreeArrays.predict`."""


_LIBRARIES = {
    "sklearn": _Library(read_scikit_learn, predict_scikit_learn),
    "xgboost": _Library(read_xgboost, predict_xgboost),
    "lightgbm": _Library(read_lightgbm, predict_lightgbm),
}


def as_trees(model: Any) -> TreeArrays:
    """Return the trees of a fitted model of scikit-learn, XGBoost or LightGBM.

    `predict` of the result equals the model's probabilities where it averages them, its margins where it adds trees,
    and its numbers where it regresses.

    Args:
        model: fitted tree, forest or boosted trees; `TreeArrays` are returned unchanged.

    Raises:
        MismatchError: when the model has no trees, is not fitted, splits categories, or its trees predict otherwise
            than the model.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(10, max_depth=3, random_state=0).fit(x, y)
    >>> trees = as_trees(forest)
    >>> len(trees.roots), bool((trees.classify(x) == forest.predict(x)).all())
    (10, True)
    """
    if isinstance(model, TreeArrays):
        return model
    library = type(model).__module__.split(".")[0]
    if library not in _LIBRARIES:
        raise MismatchError(
            f"{type(model).__name__} of {library} has no trees that Instar reads; give a fitted tree, forest or "
            "booster of scikit-learn, XGBoost or LightGBM."
        )
    trees = _LIBRARIES[library].read(model)
    _refuse_other_predictions(trees, model, library)
    return trees


def _refuse_other_predictions(trees: TreeArrays, model: Any, library: str) -> None:
    """Compare trees with their model at, just above and around thresholds, and at missing values."""
    draw = np.random.default_rng(0)
    rows = np.zeros((PROBE_ROWS, trees.columns))
    inner = trees.features != LEAF
    for column in np.unique(trees.features[inner]):
        own = trees.thresholds[inner & (trees.features == column)]
        with np.errstate(over="ignore"):  # above the largest number is infinity
            above = np.nextafter(own, np.inf)
        rows[:, column] = draw.choice(np.concatenate([own, above]), PROBE_ROWS)
    rows = np.clip(rows, -1e38, 1e38)  # scikit-learn and XGBoost take no infinity, which is what float32 makes of more
    if trees.allows_missing:
        rows[PROBE_ROWS // 2 :][draw.random((PROBE_ROWS // 2, trees.columns)) < 0.2] = np.nan
    found, wanted = trees.predict(rows), _LIBRARIES[library].predict(model, trees, rows)
    off = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    if not off <= MAX_DIFFERENCE:
        raise MismatchError(
            f"the trees of this {type(model).__name__} predict otherwise than the model itself, by {off:.2g} of its "
            "largest output; it may do more than its trees, or be of a version that is not known here."
        )
