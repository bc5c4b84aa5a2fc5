"""XGBoost and LightGBM with the objective of a run, whose derivatives torch computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.objectives.objective import Objective
from instar.students.derivatives import Derivatives
from instar.students.examples import Examples
from instar.students.leaf_values import add, gather_sums
from instar.students.newton import find_base
from instar.trees.arrays import TreeArrays
from instar.trees.reading import as_trees

MIN_CURVATURE = 1e-6
"""Smallest curvature that is told to a library, which divides by sums of them."""


def boost(estimator: Any, examples: Examples, objective: Objective) -> TreeArrays:
    """Return the trees of an estimator of XGBoost or LightGBM that follows an objective; their sum is the logits.

    Of classes, the library gets g = dL/dz and h C/(C - 1) of each example and class, with h the diagonal of the
    curvature: it fits the trees of a round for each class as if the others stood still, which XGBoost's own softmax
    meets with 2 h.

    Of numbers, it begins at the best constant, in standard deviations, and gets the weight w of each example as its
    curvature: that of squared errors, and the largest of a Huber loss, which has none far away. So no step is too long.

    Args:
        estimator: unfitted; its number of rounds and its other parameters count, and its own objective does not.
        examples: training examples.
        objective: terms of logits, or terms of numbers with an aim.
    """
    classes, base = examples.classes, np.zeros(examples.classes)
    bound = MIN_CURVATURE * examples.samples[:, None]
    if examples.are_numbers:
        base = find_base(objective, examples)
        strengths = add(one.strengths for one in gather_sums(objective, examples))
        bound = bound.maximum(torch.from_numpy(strengths)[:, None])

    def follow(scores: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        logits = torch.from_numpy(np.asarray(scores, np.float64).reshape(examples.count, classes) + base)
        now = Derivatives.of(objective, examples, logits)
        curvature = (now.curvature * (classes / max(1, classes - 1))).maximum(bound)
        return now.gradient.numpy().reshape(scores.shape), curvature.numpy().reshape(scores.shape)

    train = _train_xgboost if hasattr(estimator, "get_xgb_params") else _train_lightgbm
    return train(estimator, examples, follow).rescaled(examples.to_unit(base), examples.scale[1])


def _train_xgboost(estimator: Any, examples: Examples, follow: Any) -> TreeArrays:
    import xgboost

    known = estimator.get_xgb_params()
    settings = {name: value for name, value in known.items() if value is not None and name != "n_estimators"}
    # trees of each class, in the form of its own softmax, so that they are read as logits
    kind = {"objective": "multi:softprob", "num_class": examples.classes, "base_score": 0.5}
    settings |= {"objective": "reg:squarederror", "base_score": 0.0} if examples.are_numbers else kind
    labels = np.arange(examples.count) % examples.classes  # which the objective does not read
    weights = examples.samples.numpy() if examples.is_weighted else None  # for the bins: derivatives are weighted
    table = xgboost.DMatrix(examples.rows, label=labels, weight=weights)
    rounds = estimator.get_num_boosting_rounds()
    booster = xgboost.train(settings, table, num_boost_round=rounds, obj=lambda scores, _: follow(scores))
    return as_trees(booster)


def _train_lightgbm(estimator: Any, examples: Examples, follow: Any) -> TreeArrays:
    import lightgbm

    left_out = ("objective", "n_estimators", "class_weight", "importance_type")
    known = estimator.get_params()
    settings = {name: value for name, value in known.items() if value is not None and name not in left_out}
    settings |= {"objective": lambda scores, _: follow(scores), "num_class": examples.classes, "verbosity": -1}
    table = lightgbm.Dataset(examples.rows, label=np.zeros(examples.count))
    booster = lightgbm.train(settings, table, num_boost_round=known.get("n_estimators") or 100)
    # the text of a model with an objective of one's own names none; its sums are logits of a softmax, or numbers
    kind = "regression" if examples.are_numbers else f"multiclass num_class:{examples.classes}"
    lines = [line for line in booster.model_to_string().split("\n") if not line.startswith("objective=")]
    place = next(number for number, line in enumerate(lines) if line.startswith("feature_names="))
    lines.insert(place, f"objective={kind}")
    return as_trees(lightgbm.Booster(model_str="\n".join(lines)))
