"""A fitted regressor as a teacher: of scikit-learn, such as a forest or a pipeline, of XGBoost or of LightGBM."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.content import Content
from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError
from instar.targets.targets import DenseTargets
from instar.teachers.boosters import is_booster, objective_of
from instar.teachers.estimator_inputs import name_estimator, predict_rows, read_features
from instar.teachers.teacher import Teacher

_XGBOOST_PREFIXES = ("reg:", "count:")
_LIGHTGBM_OBJECTIVES = (
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "gamma",
    "tweedie",
)


class Regressor(Teacher):
    """v = predict(x), the number that a fitted regressor predicts, in the unit of its labels.

    Args:
        estimator: fitted estimator that predicts one number, or a `Booster` of XGBoost or LightGBM.

    Raises:
        ConfigError: when the estimator is not fitted.

    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from instar.data import Loader, load_data
    >>> arrays = [[1.0], [2.0], [3.0], [4.0], [5.0]], [1.0, 4.0, 9.0, 16.0, 25.0]
    >>> data = load_data(arrays, labels="numbers", validation=0)
    >>> tree = DecisionTreeRegressor(random_state=0).fit(data.train.inputs(), data.train.column("numbers"))
    >>> batch = Loader(data.train, 4, seed=0).batch(0)
    >>> bool((Regressor(tree).targets(batch).logits()[:, 0] == batch.numbers).all())
    True
    """

    answers_by_row = True

    def __init__(self, estimator: Any) -> None:
        self.estimator = _of_booster(estimator) if is_booster(estimator) else estimator
        _refuse_unfitted(self.estimator)

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the predicted numbers, `[batch, 1]`.

        Raises:
            MismatchError: when labels are classes, its features are not those of the data, or it predicts several
                numbers.
        """
        name = type(self.estimator).__name__
        if batch.origin and not batch.origin.samples.source.task.predicts_numbers:
            raise MismatchError(
                f"a regressor predicts no classes, so give a classifier in place of {name}; or set data.labels=numbers "
                "if the labels are quantities."
            )
        inputs = read_features(self.estimator, batch, "regressor")
        return DenseTargets(self.predict_numbers(inputs, len(batch)).to(batch.ids.device))

    def predict_numbers(self, inputs: Any, rows: int) -> Tensor:
        """Return the numbers of rows that the estimator reads, float32 `[rows, 1]`.

        Args:
            inputs: the rows, in the form that the estimator was fitted to.
            rows: number of rows.

        Raises:
            MismatchError: when it predicts several numbers.
        """
        found = predict_rows(self.estimator, self.estimator.predict, inputs, "regressor")
        if found.shape not in ((rows,), (rows, 1)):
            raise MismatchError(
                f"the regressor {type(self.estimator).__name__} must predict one number for each row, [{rows}]; got "
                f"{list(found.shape)}."
            )
        return torch.as_tensor(found, dtype=torch.float32).reshape(-1, 1)

    def describe_lack(self) -> str:
        """Return that the regressor has no hidden layers."""
        return f"the regressor {type(self.estimator).__name__} has none"

    def describe_kind(self) -> str:
        """Return its class and that of its estimator, such as `Regressor(XGBRegressor)`."""
        return f"{type(self).__name__}({name_estimator(self.estimator)})"

    def fingerprint(self) -> str:
        """Return a hash of everything that predictions depend on.

        Raises:
            ConfigError: when a part of the estimator does not show its content.
        """
        content = Content()
        content.add(["regressor", self.estimator])
        return content.hexdigest()


class LightGBMNumbers:
    """A `lightgbm.Booster` of a regression as a fitted regressor.

    Args:
        booster: the booster.
    """

    def __init__(self, booster: Any) -> None:
        self.booster = booster
        self.n_features_in_ = booster.num_feature()
        names = booster.feature_name()
        if names != [f"Column_{number}" for number in range(len(names))]:  # which LightGBM gives to columns of arrays
            self.feature_names_in_ = names

    def predict(self, inputs: Any) -> NDArray[Any]:
        """Return the numbers of rows, `[n]`."""
        return np.asarray(self.booster.predict(inputs))


def predicts_numbers(thing: Any) -> bool:
    """Return whether an estimator or a booster is a regressor.

    >>> from sklearn.linear_model import LinearRegression, LogisticRegression
    >>> predicts_numbers(LinearRegression()), predicts_numbers(LogisticRegression())
    (True, False)
    """
    if is_booster(thing):
        library, objective = objective_of(thing)
        if library == "xgboost":
            return objective.startswith(_XGBOOST_PREFIXES)
        return objective.split(" ")[0] in _LIGHTGBM_OBJECTIVES
    if hasattr(thing, "predict_proba") or not hasattr(thing, "predict"):
        return False
    if getattr(thing, "_estimator_type", None) == "regressor":  # of other libraries, which may have no tags
        return True
    from sklearn.base import BaseEstimator, is_regressor

    return isinstance(thing, BaseEstimator) and bool(is_regressor(thing))


def _of_booster(booster: Any) -> Any:
    library, _ = objective_of(booster)
    if library == "lightgbm":
        return LightGBMNumbers(booster)
    import xgboost

    made = xgboost.XGBRegressor()
    made.load_model(booster.save_raw("ubj"))
    return made


def _refuse_unfitted(estimator: Any) -> None:
    if isinstance(estimator, LightGBMNumbers):
        return
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError):
        raise ConfigError(f"the regressor {type(estimator).__name__} is not fitted; call its fit first.") from None
