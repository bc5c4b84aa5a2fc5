"""Estimators of scikit-learn, XGBoost and LightGBM, which take soft targets in one of several ways."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Literal

import numpy as np
import torch

from instar.config import RunConfig
from instar.data.batch import Batch
from instar.errors import InstarError, MismatchError, say, shortened
from instar.models.estimator import Estimator
from instar.models.fitted_content import Content
from instar.models.imported_estimator import LIBRARIES, import_estimator
from instar.objectives.hard_labels import HardLabels
from instar.objectives.objective import Objective
from instar.seeds import derive
from instar.students.boosters import boost
from instar.students.derivatives import refuse_without_derivatives
from instar.students.examples import Examples
from instar.students.fitted import FittedStudent
from instar.students.fitted_estimator import keep
from instar.students.leaf_values import (
    Floats,
    Sums,
    add,
    gather_sums,
    log_softmax,
    refuse_other_than_squares,
    refuse_without_aim,
    solve,
)
from instar.students.student import Lesson
from instar.targets.targets import DenseTargets
from instar.tasks.task import Task

Way = Literal["custom objective", "expanded weights", "labels", "regression on logits", "regression on numbers"]
"""How soft targets go into an estimator."""

MIN_WEIGHT = 1e-5
"""Smallest share of a class in the targets of an example for which the example is repeated."""

MIN_TARGET = 1e-3
"""Smallest probability whose logarithm is a target of a regression, because a squared error follows the largest."""


class EstimatorStudent(FittedStudent):
    """Fits an estimator in the first way that it can take.

    | way | which | what is fitted |
    |---|---|---|
    | custom objective | XGBoost, LightGBM | each round follows dL/dz and its curvature, of any objective of logits |
    | expanded weights | classifiers whose `fit` has `sample_weight` | each row once per class c, with the weight p_c |
    | labels | other classifiers | labels alone, of an objective without soft targets |
    | regression on logits | regressors | squared error to T log p of all classes |
    | regression on numbers | regressors, where labels are numbers | their weighted mean with the teacher's numbers |

    Expanded weights have the same minimum as the cross-entropy with the soft targets p, sum_c p_c (-log q_c). A sum of
    squared errors is that to the weighted mean of its numbers, and a constant.
    """

    noun = "an estimator"

    def refuse(self, config: RunConfig, objective: Objective, task: Task, *, is_given: bool, is_weighted: bool) -> None:
        """Refuse what no model without gradients learns, and an objective that this estimator takes in no way."""
        super().refuse(config, objective, task, is_given=is_given, is_weighted=is_weighted)
        arguments = dict(config.model.arguments)
        name = arguments.pop("name", None)
        if isinstance(name, str) and name.split(".")[0] in LIBRARIES:  # others need trust, which building them asks for
            estimator, are_numbers = import_estimator(name, arguments, 0, trust=False), task.predicts_numbers
            choose_way(estimator, objective, is_weighted=is_weighted, are_numbers=are_numbers)

    def refuse_objective(self, objective: Objective) -> None:
        """Refuse nothing: `choose_way` does."""

    def fit(self, network: Any, examples: Examples, lesson: Lesson) -> int:
        """Fit the estimator, and keep what it predicts with."""
        assert isinstance(network, Estimator), "the catalogue gives each family its student"
        estimator = network.make(derive(lesson.seed, "estimator"))
        is_weighted, are_numbers = examples.is_weighted, examples.are_numbers
        way = choose_way(estimator, lesson.objective, is_weighted=is_weighted, are_numbers=are_numbers)
        name = type(estimator).__name__
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as iterations that ran out
                content = _fit(estimator, way, examples, lesson.objective)
        except InstarError:
            raise
        except Exception as error:  # of any library
            raise MismatchError(f"{name} cannot be fitted: {shortened(error).rstrip('.')}.") from None
        content.facts.update(soft_targets=way, columns=network.columns)
        network.take(content)
        if lesson.show:
            say(f"instar: {name} learns by {way}, and is kept as {content.kind}.")
        return 1


def choose_way(estimator: Any, objective: Objective, *, is_weighted: bool, are_numbers: bool) -> Way:
    """Return the first way in which an estimator takes an objective, and the weights of samples if they have some.

    Args:
        estimator: unfitted.
        objective: objective of the run.
        is_weighted: whether samples have weights.
        are_numbers: whether labels are numbers.

    Raises:
        MismatchError: when there is none.
    """
    from sklearn.base import is_classifier, is_regressor

    name = type(estimator).__name__
    if are_numbers and not is_regressor(estimator):
        raise MismatchError(
            f"{name} is no regressor, and the labels are numbers; choose one, such as RandomForestRegressor."
        )
    if is_booster(estimator):
        (refuse_without_aim if are_numbers else refuse_without_derivatives)(objective, name)
        return "custom objective"
    if is_weighted and not takes_weights(estimator):
        raise MismatchError(
            f"{name} cannot weigh samples, because its fit has no sample_weight; leave the weights out, or choose an "
            "estimator that has it."
        )
    if is_regressor(estimator):
        refuse_without_aim(objective, name)
        refuse_other_than_squares(objective, f"{name} has a loss of its own, and gets one number per sample", "tree")
        return "regression on numbers" if are_numbers else "regression on logits"
    if not is_classifier(estimator):
        raise MismatchError(f"{name} takes no soft targets: it is neither a classifier nor a regressor.")
    refuse_without_aim(objective, name)
    if all(isinstance(term, HardLabels) and not term.label_smoothing for _, term in objective.parts):
        return "labels"
    if not takes_weights(estimator):
        raise MismatchError(
            f"{name} takes no soft targets in any way: it is no regressor, and its fit has no sample_weight; choose an "
            "estimator that has it, such as HistGradientBoostingClassifier, or a regressor."
        )
    batch, targets = Batch.of_labels(torch.zeros(1, dtype=torch.int64)), DenseTargets(torch.zeros(1, 2))
    aims = [term.aim(batch, targets, 2) for weight, term in objective.parts if weight]  # type: ignore[attr-defined]
    if len({aim.temperature for aim in aims} | {None}) != 2:
        raise MismatchError(
            f"{name} is a classifier, which is fitted to probabilities at one temperature, and '{objective}' has "
            "others; give SoftTargets(1) and HardLabels, or a regressor."
        )
    return "expanded weights"


def takes_weights(estimator: Any) -> bool:
    """Return whether an estimator can weigh rows."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(estimator, "sample_weight"))


def is_booster(estimator: Any) -> bool:
    """Return whether an estimator is one of XGBoost or LightGBM."""
    xgboost, lightgbm = sys.modules.get("xgboost"), sys.modules.get("lightgbm")
    kinds = [getattr(library, name) for library, name in ((xgboost, "XGBModel"), (lightgbm, "LGBMModel")) if library]
    return isinstance(estimator, tuple(kinds))


def _fit(estimator: Any, way: Way, examples: Examples, objective: Objective) -> Content:
    rows = examples.rows
    if way == "custom objective":
        return keep(boost(estimator, examples, objective), rows, 1.0, list(range(examples.classes)))
    # the terms of classes, and squared errors of numbers, are sums
    sums = [one for one in gather_sums(objective, examples) if isinstance(one, Sums)]
    if way.startswith("regression"):
        return _regress(estimator, examples, sums)
    targets = add(one.targets for one in sums)
    # each row once for each class
    chosen, labels = np.nonzero(targets > MIN_WEIGHT * targets.sum(1, keepdims=True))
    weights = targets[chosen, labels] / targets.sum() * examples.weight
    estimator.fit(rows[chosen], labels, **_given_weights(estimator, weights))
    return keep(estimator, rows, sums[0].temperature or 1.0, [int(one) for one in estimator.classes_])


def _regress(estimator: Any, examples: Examples, sums: list[Sums]) -> Content:
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.utils import get_tags

    weights = np.asarray(sum(one.strengths for one in sums))
    told = weights > 0  # an example without a label or a target says nothing
    wanted, rows = examples.to_unit(solve(sums)[told]), examples.rows
    temperatures = {one.temperature for one in sums} - {None}
    if temperatures:
        softest = max(filter(None, temperatures))
        wanted = softest * np.maximum(log_softmax(wanted / softest), np.log(MIN_TARGET))
    given = _given_weights(estimator, weights[told] / weights[told].sum() * examples.samples.numpy()[told].sum())
    if not examples.are_numbers and not get_tags(estimator).target_tags.multi_output:
        estimator = MultiOutputRegressor(estimator)
    estimator.fit(rows[told], wanted[:, 0] if examples.are_numbers else wanted, **given)
    return keep(estimator, rows, 1.0, list(range(wanted.shape[1])))


def _given_weights(estimator: Any, weights: Floats) -> dict[str, Floats]:
    if np.abs(weights - 1).max() <= 1e-9:
        return {}
    if takes_weights(estimator):
        return {"sample_weight": weights}
    # `choose_way` has refused weights of samples; those that differ here are of terms
    raise MismatchError(
        f"{type(estimator).__name__} counts all samples alike, because its fit has no sample_weight, and the objective "
        "weighs them differently, as where some have no label; choose an estimator that has it."
    )
