"""Boosted trees and forests of XGBoost as arrays, from its own JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.from_scikit_learn import as_logits, place_values
from instar.trees.stacking import Nodes, stack_trees
from instar.trees.thresholds import largest_in_float32

LOGIT_OBJECTIVES = ("binary:logistic", "binary:logitraw", "reg:logistic", "multi:softmax", "multi:softprob")
"""Objectives whose sums are logits; those of two classes are that of the second."""

NUMBER_OBJECTIVES = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror")
"""Objectives whose sums are the predicted numbers."""


def read_xgboost(model: Any, classes: tuple[str, ...] = ()) -> TreeArrays:
    """Return the trees of a fitted XGBoost model; `predict` equals its margins, which are logits or numbers.

    Args:
        model: `Booster`, or an estimator of XGBoost; an estimator that stopped early has the trees up to its best.
        classes: names of the classes; (): those of the estimator.

    Raises:
        MismatchError: when the model has no trees, splits categories, or its sums are neither logits nor numbers.
    """
    is_booster = not hasattr(model, "get_booster")
    if not is_booster and not model.__sklearn_is_fitted__():
        raise MismatchError(f"{type(model).__name__} has no trees that can be read; fit it first.")
    booster = model if is_booster else model.get_booster()
    if not is_booster and not _is_nan(getattr(model, "missing", None)):
        raise MismatchError(
            f"this model of XGBoost reads {model.missing} as a missing value; fit it with missing=nan, and give NaN."
        )
    learner = json.loads(booster.save_raw("json"))["learner"]
    if int(learner["learner_model_param"].get("num_target", 1)) > 1:
        raise MismatchError("this model of XGBoost predicts several things at once; fit one for each of them.")
    objective, boosting = learner["objective"]["name"], learner["gradient_booster"]
    if objective not in LOGIT_OBJECTIVES + NUMBER_OBJECTIVES:
        known = ", ".join(LOGIT_OBJECTIVES + NUMBER_OBJECTIVES)
        raise MismatchError(f"trees of XGBoost are read with an objective of {known}; this model has '{objective}'.")
    weights = boosting.get("weight_drop")
    model_part = boosting.get("gbtree", boosting).get("model", {})
    if "trees" not in model_part:
        raise MismatchError(f"this model of XGBoost has no trees (booster '{boosting['name']}'); give gbtree or dart.")
    last = None if is_booster else _best_iteration(booster)
    count = len(model_part["trees"]) if last is None else model_part["iteration_indptr"][last + 1]
    is_logits = objective in LOGIT_OBJECTIVES
    groups = max(1, int(learner["learner_model_param"]["num_class"]))
    outputs = max(groups, 2) if is_logits else 1
    nodes = [
        _read_tree(tree, 1.0 if weights is None else weights[number], group if groups > 1 else outputs - 1, outputs)
        for number, (tree, group) in enumerate(zip(model_part["trees"][:count], model_part["tree_info"], strict=False))
    ]
    if not classes and is_logits and not is_booster:
        classes = tuple(map(str, getattr(model, "classes_", ())))
    return stack_trees(
        nodes, int(learner["learner_model_param"]["num_feature"]),
        combine="sum", meaning="logits" if is_logits else "numbers", base=_read_base(learner, objective, outputs),
        allows_missing=True, feature_names=tuple(learner.get("feature_names") or ()), classes=classes,
    )  # fmt: skip


def predict_xgboost(model: Any, trees: TreeArrays, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the margins of the model itself, `[rows, outputs]`."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    last = None if booster is model else _best_iteration(booster)
    window = (0, 0) if last is None else (0, last + 1)
    # whoever has a booster has imported XGBoost
    table = sys.modules["xgboost"].DMatrix(
        rows, feature_names=booster.feature_names, feature_types=booster.feature_types
    )
    return as_logits(booster.predict(table, output_margin=True, iteration_range=window), trees.outputs)


def _best_iteration(booster: Any) -> int | None:
    # an attribute of Python raises if training did not stop early
    found = booster.attr("best_iteration")
    return None if found is None else int(found)


def _read_tree(tree: dict[str, Any], weight: float, output: int, outputs: int) -> Nodes:
    if tree["categories"] or any(tree.get("split_type", ())):
        raise MismatchError(
            "this model of XGBoost splits categories by sets of them, which no threshold does; encode them as numbers, "
            "or one column for each, and fit it again."
        )
    left, conditions = np.array(tree["left_children"]), np.array(tree["split_conditions"], np.float32)
    if len(tree["base_weights"]) != len(left):
        raise MismatchError("this model of XGBoost has several outputs in each leaf; fit it with one_output_per_tree.")
    thresholds = largest_in_float32(conditions.astype(np.float64), strict=True)
    values = place_values(np.where(left == -1, conditions, 0).astype(np.float64) * weight, output, outputs)
    return Nodes(
        np.array(tree["split_indices"]), thresholds, left, np.array(tree["right_children"]), values,
        np.array(tree["default_left"]),
    )  # fmt: skip


def _read_base(learner: dict[str, Any], objective: str, outputs: int) -> NDArray[np.float64]:
    given = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float64).reshape(-1)
    if objective in ("binary:logistic", "reg:logistic", "binary:logitraw"):
        if objective != "binary:logitraw":
            if not (0 < given[0] < 1):
                raise MismatchError("this model of XGBoost met one class in training; fit it to two or more.")
            given = np.log(given / (1 - given))
        return np.array([0, given[0]])
    return np.broadcast_to(given, outputs).copy()


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
