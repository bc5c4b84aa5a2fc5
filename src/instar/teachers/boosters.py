"""Boosted trees of XGBoost and LightGBM: boosters as fitted classifiers, and the margins that are their logits."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import ConfigError
from instar.teachers.fitted_trees import FittedTrees
from instar.trees.arrays import TreeArrays

Margins = Callable[[Any], NDArray[Any]]
"""Returns the logits of rows, `[n, classes]`."""

_XGBOOST_OBJECTIVES = ("binary:logistic", "binary:logitraw", "multi:softmax", "multi:softprob")
"""Objectives of XGBoost whose margins are logits."""

_LIGHTGBM_OBJECTIVE = re.compile(
    r"^objective=(?:binary sigmoid:(?P<sigmoid>\S+)|multiclass num_class:\d+)", re.MULTILINE
)
"""Objectives of LightGBM whose raw scores are logits; those of two classes, times `sigmoid`."""


class LightGBMTrees:
    """A `lightgbm.Booster` as a fitted classifier; it knows its classes by number only.

    Args:
        booster: booster of the objective `binary` or `multiclass`.

    Raises:
        ConfigError: when its objective has no probabilities of classes.
    """

    def __init__(self, booster: Any) -> None:
        scale = _lightgbm_scale(booster)
        if scale is None:
            raise ConfigError(
                "a Booster of LightGBM can teach classes with the objective binary or multiclass, and this one has "
                f"'{_lightgbm_objective(booster)}'; give its LGBMClassifier, or train it with one of these."
            )
        self.booster, self.scale = booster, scale
        self.classes_ = np.arange(max(2, booster.num_model_per_iteration()))
        self.n_features_in_ = booster.num_feature()
        names = booster.feature_name()
        if names != [f"Column_{number}" for number in range(len(names))]:  # which LightGBM gives to columns of arrays
            self.feature_names_in_ = names

    def predict_margins(self, inputs: Any) -> NDArray[Any]:
        """Return the logits of rows, `[n, classes]`."""
        return _both_classes(self.booster.predict(inputs, raw_score=True)) * self.scale

    def predict_proba(self, inputs: Any) -> NDArray[Any]:
        """Return the probabilities of rows, `[n, classes]`."""
        found = np.asarray(self.booster.predict(inputs))
        return found if found.ndim == 2 else np.stack([1 - found, found], 1)


def as_classifier(thing: Any) -> Any:
    """Return the fitted classifier of a booster or of arrays of trees; another thing unchanged.

    Raises:
        ConfigError: when the booster predicts no classes.
    """
    xgboost, lightgbm = _loaded()
    if isinstance(thing, TreeArrays):
        return FittedTrees(thing)
    if xgboost and isinstance(thing, xgboost.Booster):
        objective = _xgboost_objective(thing)
        if objective not in _XGBOOST_OBJECTIVES:
            raise ConfigError(
                f"a Booster of XGBoost can teach classes with an objective of {', '.join(_XGBOOST_OBJECTIVES)}, and "
                f"this one has '{objective}'; train it with one of these."
            )
        made = xgboost.XGBClassifier()
        made.load_model(thing.save_raw("ubj"))
        return made
    return LightGBMTrees(thing) if lightgbm and isinstance(thing, lightgbm.Booster) else thing


def holds_trees(thing: object) -> bool:
    """Return whether a thing is a `Booster` of XGBoost or LightGBM, or trees of Instar."""
    return isinstance(thing, TreeArrays | FittedTrees) or is_booster(thing)


def is_booster(thing: object) -> bool:
    """Return whether a thing is a `Booster` of XGBoost or LightGBM."""
    return any(library is not None and isinstance(thing, library.Booster) for library in _loaded())


def objective_of(booster: Any) -> tuple[str, str]:
    """Return the library of a booster, "xgboost" or "lightgbm", and its objective."""
    xgboost, _ = _loaded()
    if xgboost and isinstance(booster, xgboost.Booster):
        return "xgboost", _xgboost_objective(booster)
    return "lightgbm", _lightgbm_objective(booster)


def fitted_kinds() -> tuple[type, ...]:
    """Return the classes of fitted estimators: that of scikit-learn, and the boosters of the libraries in use."""
    from sklearn.base import BaseEstimator

    return (BaseEstimator, *(library.Booster for library in _loaded() if library is not None))


def find_margins(estimator: Any) -> Margins | None:
    """Return the function that computes the logits of a fitted classifier of boosted trees; None for any other.

    Logits keep what float32 probabilities lose: a class that is as rare as one in 10^9 has a probability of 1e-9, and
    the other one has 1. The last step of a pipeline counts, and what a search found.
    """
    xgboost, lightgbm = _loaded()
    pipelines = sys.modules.get("sklearn.pipeline")
    if isinstance(estimator, LightGBMTrees) or (
        isinstance(estimator, FittedTrees) and estimator.trees.meaning == "logits"
    ):
        return estimator.predict_margins
    if xgboost and isinstance(estimator, xgboost.XGBClassifier):
        are_logits = _xgboost_objective(estimator.get_booster()) in _XGBOOST_OBJECTIVES
        return (lambda inputs: _both_classes(estimator.predict(inputs, output_margin=True))) if are_logits else None
    if lightgbm and isinstance(estimator, lightgbm.LGBMClassifier):
        scale = _lightgbm_scale(estimator.booster_)
        return (
            None if scale is None else lambda inputs: _both_classes(estimator.predict(inputs, raw_score=True)) * scale
        )
    if hasattr(estimator, "best_estimator_"):  # a search predicts with the estimator that it found
        return find_margins(estimator.best_estimator_)
    if pipelines and isinstance(estimator, pipelines.Pipeline) and len(estimator) > 1:
        last, before = find_margins(estimator[-1]), estimator[:-1]
        return None if last is None else lambda inputs: last(before.transform(inputs))
    return None


def known_names(estimator: Any, names: Sequence[str]) -> list[str]:
    """Return the names of columns as an estimator knows them: LightGBM has underscores in place of spaces."""
    _, lightgbm = _loaded()
    is_lightgbm = isinstance(estimator, LightGBMTrees) or (lightgbm and isinstance(estimator, lightgbm.LGBMModel))
    return [name.replace(" ", "_") for name in names] if is_lightgbm else list(names)


def _loaded() -> tuple[Any, Any]:
    # whoever has an object of a library has imported it, and importing it takes a second
    return sys.modules.get("xgboost"), sys.modules.get("lightgbm")


def _xgboost_objective(booster: Any) -> str:
    return str(json.loads(booster.save_config())["learner"]["objective"]["name"])


def _lightgbm_text(booster: Any) -> str:
    return str(booster.model_to_string(num_iteration=1))


def _lightgbm_objective(booster: Any) -> str:
    found = re.search(r"^objective=(.*)$", _lightgbm_text(booster), re.MULTILINE)
    return found[1] if found else "none"


def _lightgbm_scale(booster: Any) -> float | None:
    """Return the factor from raw scores to logits; None if raw scores are no logits."""
    text = _lightgbm_text(booster)
    found = _LIGHTGBM_OBJECTIVE.search(text)
    # raw scores of a random forest are sums, and its probabilities are those of the means
    count = (booster.best_iteration or booster.current_iteration()) if "\naverage_output\n" in text else 1
    return None if found is None else float(found["sigmoid"] or 1) / count


def _both_classes(margins: Any) -> NDArray[Any]:
    # of two classes, the margin is the logit of the second above that of the first
    found = np.asarray(margins)
    return np.stack([np.zeros_like(found), found], 1) if found.ndim == 1 else found
