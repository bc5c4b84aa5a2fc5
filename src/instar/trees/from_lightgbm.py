"""Boosted trees and forests of LightGBM as arrays, from its own text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.from_scikit_learn import as_logits, place_values
from instar.trees.stacking import Nodes, stack_trees
from instar.trees.thresholds import EVERYTHING

NUMBER_OBJECTIVES = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
"""Objectives whose sums are the predicted numbers."""

ZERO_WIDTH = float(np.float32(1e-35))
"""Largest size of a number that LightGBM reads as 0."""

CATEGORY_BIT, DEFAULT_LEFT_BIT = 1, 2
MISSING_SHIFT, MISSING_IS_ZERO, MISSING_IS_NAN = 2, 1, 2
"""What `decision_type` of a node tells: bits 2 and 3 are the kind of missing value."""


def read_lightgbm(model: Any, classes: tuple[str, ...] = ()) -> TreeArrays:
    """Return the trees of a fitted LightGBM model; `predict` equals its raw scores, as logits or numbers.

    Args:
        model: `Booster`, or an estimator of LightGBM; one that stopped early has the trees up to its best.
        classes: names of the classes; (): those of the estimator.

    Raises:
        MismatchError: when the model splits categories, has linear leaves, reads zeros as missing, or its sums are
            neither logits nor numbers.
    """
    booster = getattr(model, "booster_", model)
    if not hasattr(booster, "model_to_string"):
        raise MismatchError(f"{type(model).__name__} has no trees that can be read; fit it first.")
    head, *trees = booster.model_to_string(num_iteration=booster.best_iteration or -1).split("\nTree=")
    settings = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    objective, *options = settings.get("objective", "none").split(" ")
    if objective not in ("binary", "multiclass", *NUMBER_OBJECTIVES) or "sqrt" in options:
        known = ", ".join(("binary", "multiclass", *NUMBER_OBJECTIVES))
        raise MismatchError(f"trees of LightGBM are read with an objective of {known}; this model has '{objective}'.")
    groups = int(settings["num_tree_per_iteration"])
    averages = _averages(head)
    # the mean over all trees counts those of the other classes too, as zeros
    scale = _read_scale(head) * (groups if averages else 1)
    outputs = 1 if objective in NUMBER_OBJECTIVES else max(groups, 2)
    nodes = []
    for number, text in enumerate(trees):
        tree = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        nodes.append(_read_tree(tree, scale, number % groups if groups > 1 else outputs - 1, outputs))
    if not classes and outputs > 1:
        classes = tuple(map(str, getattr(model, "classes_", ())))
    names = tuple(settings["feature_names"].split(" "))
    is_given = names != tuple(f"Column_{number}" for number in range(len(names)))
    return stack_trees(
        nodes, len(names), combine="mean" if averages else "sum",
        meaning="numbers" if outputs == 1 else "logits", allows_missing=True,
        feature_names=names if is_given else (), classes=classes,
    )  # fmt: skip


def predict_lightgbm(model: Any, trees: TreeArrays, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the raw scores of the model itself as logits or numbers, `[rows, outputs]`."""
    booster = getattr(model, "booster_", model)
    head = booster.model_to_string(num_iteration=1).split("\nTree=")[0]
    # raw scores are sums also where the predictions are those of means
    count = (booster.best_iteration or booster.current_iteration()) if _averages(head) else 1
    return as_logits(booster.predict(rows, raw_score=True), trees.outputs) * _read_scale(head) / count


def _averages(head: str) -> bool:
    return "average_output" in head.splitlines()  # random forests


def _read_scale(head: str) -> float:
    found = re.search(r"^objective=binary sigmoid:(\S+)", head, re.MULTILINE)
    return float(found[1]) if found else 1.0


def _read_tree(tree: dict[str, str], scale: float, output: int, outputs: int) -> Nodes:
    if int(tree.get("is_linear", "0")):
        raise MismatchError("this model of LightGBM has linear functions in its leaves; fit it without linear_tree.")
    leaf_values = np.array(tree["leaf_value"].split(), np.float64) * scale
    inner = int(tree["num_leaves"]) - 1
    leaves = np.full(inner + 1, -1)
    features, left, right, kinds = (
        np.array(tree.get(name, "").split(), np.int64)
        for name in ("split_feature", "left_child", "right_child", "decision_type")
    )
    # a split of missing values from all others has an infinite one
    thresholds = np.nan_to_num(np.array(tree.get("threshold", "").split(), np.float64), posinf=EVERYTHING)
    missing = kinds >> MISSING_SHIFT & 3
    if (kinds & CATEGORY_BIT).any():
        raise MismatchError(
            "this model of LightGBM splits categories by sets of them, which no threshold does; encode them "
            "as numbers, or one column for each, and fit it again."
        )
    if (missing == MISSING_IS_ZERO).any():
        raise MismatchError("this model of LightGBM reads zeros as missing values; fit it without zero_as_missing.")
    # a node that met no missing value in training reads one as 0
    goes_left = np.where(missing == MISSING_IS_NAN, (kinds & DEFAULT_LEFT_BIT) > 0, thresholds >= 0)
    # LightGBM reads numbers near 0 as 0, also at thresholds of that size, which it has for zeros
    near = np.abs(thresholds) <= ZERO_WIDTH
    thresholds = np.where(near, np.where(thresholds < 0, np.nextafter(-ZERO_WIDTH, -1), ZERO_WIDTH), thresholds)
    # leaf i is ~i in place of a child; here it comes after the inner nodes
    left, right = (np.where(side < 0, inner + ~side, side) for side in (left, right))
    values = np.concatenate([np.zeros(inner), leaf_values])
    if not inner:
        left = right = np.zeros(0, np.int64)
    return Nodes(
        np.concatenate([features, leaves]), np.concatenate([thresholds, np.zeros(inner + 1)]),
        np.concatenate([left, leaves]), np.concatenate([right, leaves]), place_values(values, output, outputs),
        np.concatenate([goes_left, np.zeros(inner + 1, bool)]),
    )  # fmt: skip
