"""Labels and weights as scikit-learn's users give them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_consistent_length, column_or_1d

from instar.errors import DataError


def read_classes(estimator: Any, rows: Any, y: Any) -> NDArray[Any]:
    """Return classes, `[rows]`.

    Raises:
        ValueError: when they are none, or not one for each row.
    """
    labels = _read(estimator, rows, y)
    check_classification_targets(labels)
    return labels


def read_numbers(estimator: Any, rows: Any, y: Any) -> NDArray[np.float64]:
    """Return numbers, `[rows]`.

    Raises:
        ValueError: when they are none, or not one for each row.
    """
    labels = _read(estimator, rows, y)
    return _as_numbers(labels, "y", "DistilledClassifier learns classes")


def _read(estimator: Any, rows: Any, y: Any) -> NDArray[Any]:
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    labels: NDArray[Any] = column_or_1d(y, warn=True)
    assert_all_finite(labels, input_name="y")
    check_consistent_length(rows, labels)
    return labels


def read_weights(given: Any, rows: Any) -> NDArray[np.float64] | None:
    """Return the weights of rows, `[rows]`; None: there are none.

    Raises:
        ValueError: when they are not one number for each row.
    """
    if given is None:
        return None
    weights = _as_numbers(given, "sample_weight", "give one number for each row")
    if weights.ndim == 0:
        weights = np.full(len(rows), float(weights))
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array.")
    check_consistent_length(rows, weights)
    return weights


def _as_numbers(given: Any, name: str, advice: str) -> NDArray[np.float64]:
    try:
        return np.asarray(given, np.float64)
    except ValueError as error:
        raise DataError(f"{name} must be numbers: {error}; {advice}.") from None
