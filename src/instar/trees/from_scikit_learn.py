"""Trees, forests and boosted trees of scikit-learn as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.stacking import Nodes, stack_trees
from instar.trees.thresholds import EVERYTHING, largest_in_float32

FORESTS = (
    "RandomForest",
    "ExtraTrees",
    "DecisionTree",
    "ExtraTree",
    "Bagging",
    "GradientBoosting",
    "HistGradientBoosting",
)
"""Estimators that are read; each as a classifier and as a regressor."""


def read_scikit_learn(estimator: Any) -> TreeArrays:
    """Return the trees of a fitted estimator; `predict` equals its probabilities, its logits, or its numbers.

    Raises:
        MismatchError: when the estimator is not fitted, or its trees cannot be read.
    """
    name = type(estimator).__name__
    if np.ndim(getattr(estimator, "n_outputs_", 1)) or getattr(estimator, "n_outputs_", 1) > 1:
        raise MismatchError(f"{name} predicts {estimator.n_outputs_} things at once; fit one for each of them.")
    if hasattr(estimator, "_predictors"):
        return _read_histogram_boosting(estimator)
    if "GradientBoosting" in name and hasattr(estimator, "estimators_"):
        return _read_boosting(estimator)
    trees = [estimator] if hasattr(estimator, "tree_") else list(getattr(estimator, "estimators_", ()))
    if not trees:
        advice = "give" if hasattr(estimator, "n_features_in_") else "fit it first, or give"  # fitted ones have it
        raise MismatchError(f"{name} has no trees that can be read; {advice} one of: {', '.join(FORESTS)}.")
    predicts = hasattr(estimator, "predict_proba" if hasattr(estimator, "classes_") else "predict")
    if not predicts or not all(hasattr(tree, "tree_") for tree in trees) or name.startswith("AdaBoost"):
        raise MismatchError(f"{name} does not average trees; give one of: {', '.join(FORESTS)}.")
    # bagging may give each tree columns of its own
    chosen = getattr(estimator, "estimators_features_", [np.arange(estimator.n_features_in_)] * len(trees))
    nodes = [
        _read_tree(tree.tree_, _place_classes(tree, estimator), columns)
        for tree, columns in zip(trees, chosen, strict=True)
    ]
    return stack_trees(nodes, **_settings(estimator))


def _settings(estimator: Any, combine: str = "mean") -> dict[str, Any]:
    classes = tuple(map(str, getattr(estimator, "classes_", ())))
    return {
        "columns": estimator.n_features_in_,
        "combine": combine,
        "meaning": ("probabilities" if combine == "mean" else "logits") if classes else "numbers",
        "allows_missing": True,  # scikit-learn sends a value that was never missing before where most samples went
        "feature_names": tuple(map(str, getattr(estimator, "feature_names_in_", ()))),
        "classes": classes,
    }


def _read_tree(tree: Any, values: NDArray[np.float64], columns: NDArray[np.intp]) -> Nodes:
    thresholds = largest_in_float32(np.nan_to_num(tree.threshold, posinf=EVERYTHING), strict=False)
    features = np.where(tree.children_left < 0, -1, columns[np.maximum(tree.feature, 0)])
    return Nodes(features, thresholds, tree.children_left, tree.children_right, values, tree.missing_go_to_left)


def _place_classes(tree: Any, forest: Any) -> NDArray[np.float64]:
    values = tree.tree_.value[:, 0, :]
    if not hasattr(forest, "classes_"):
        return np.asarray(values)
    # a tree of bagging that met only some classes knows only these, as numbers of those of the forest
    places = np.arange(len(forest.classes_)) if tree is forest else np.asarray(tree.classes_, np.intp)
    found = np.zeros((len(values), len(forest.classes_)))
    found[:, places] = values
    return found


def _read_boosting(estimator: Any) -> TreeArrays:
    outputs = estimator.estimators_.shape[1]
    every, nodes = np.arange(estimator.n_features_in_), []
    for tree, output in ((tree, output) for stage in estimator.estimators_ for output, tree in enumerate(stage)):
        values = tree.tree_.value[:, 0, 0] * (estimator.learning_rate * _read_scale(estimator))
        values = _place_output(values, output, outputs, estimator)
        nodes.append(_read_tree(tree.tree_, values, every))
    settings = _settings(estimator, combine="sum") | {"allows_missing": False}
    found = stack_trees(nodes, **settings)
    # the first guess may come from any estimator, but is one number here unless the user chose another
    if estimator.init is not None and estimator.init != "zero":
        raise MismatchError(
            f"{type(estimator).__name__} starts from predictions of its own (init), which are no trees."
        )
    row = np.zeros((1, estimator.n_features_in_), np.float32)
    return stack_trees(nodes, **settings, base=(predict_scikit_learn(estimator, found, row) - found.predict(row))[0])


def _read_scale(estimator: Any) -> float:
    """Return the logits of a margin of 1: the exponential loss adds halves of them."""
    return 2.0 if getattr(estimator, "loss", None) == "exponential" and hasattr(estimator, "classes_") else 1.0


def _read_histogram_boosting(estimator: Any) -> TreeArrays:
    trees, outputs = estimator._predictors, estimator.n_trees_per_iteration_
    nodes = []
    for tree, output in ((tree.nodes, output) for stage in trees for output, tree in enumerate(stage)):
        leaf = tree["is_leaf"].astype(bool)
        if (tree["is_categorical"].astype(bool) & ~leaf).any():
            raise MismatchError(
                f"{type(estimator).__name__} splits categories by sets of them, which no threshold does; encode them "
                "as numbers, or one column for each, and fit it again."
            )
        left, right = (np.where(leaf, -1, tree[side].astype(np.int64)) for side in ("left", "right"))
        thresholds = np.clip(np.where(leaf, 0, tree["num_threshold"]), None, EVERYTHING)
        values = _place_output(tree["value"], output, outputs, estimator)
        nodes.append(Nodes(tree["feature_idx"], thresholds, left, right, values, tree["missing_go_to_left"]))
    base = as_logits(np.reshape(estimator._baseline_prediction, (1, -1)), nodes[0].values.shape[1])[0]
    return stack_trees(nodes, **_settings(estimator, combine="sum"), base=base)


def _place_output(values: NDArray[np.float64], output: int, outputs: int, estimator: Any) -> NDArray[np.float64]:
    """Return the values of a boosted tree, `[nodes, classes]`; of two classes, they are the logits of the second."""
    count = len(getattr(estimator, "classes_", (0,)))
    return place_values(values, output if outputs > 1 else count - 1, count)


def place_values(values: NDArray[np.float64], output: int, outputs: int) -> NDArray[np.float64]:
    """Return values of one output among others, `[nodes, outputs]`; the others are 0."""
    found = np.zeros((len(values), outputs))
    found[:, output] = values
    return found


def as_logits(margins: NDArray[np.floating], outputs: int) -> NDArray[np.float64]:
    """Return margins as `[rows, outputs]`; one margin of two classes is the logit of the second above the first."""
    found = np.asarray(margins, np.float64).reshape(len(margins), -1)
    return np.concatenate([np.zeros_like(found), found], 1) if found.shape[1] < outputs else found


def predict_scikit_learn(model: Any, trees: TreeArrays, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the estimator itself predicts, `[rows, outputs]`."""
    given: Any = rows
    if trees.feature_names:
        import pandas

        given = pandas.DataFrame(rows, columns=list(model.feature_names_in_))
    predict = {"probabilities": "predict_proba", "logits": "decision_function", "numbers": "predict"}[trees.meaning]
    scale = _read_scale(model) if trees.meaning == "logits" else 1.0
    return as_logits(getattr(model, predict)(given), trees.outputs) * scale
