"""Rows as scikit-learn's users give them: arrays of numbers, and data frames of any library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from instar.data.tables.frames import as_frame_of_pandas, is_frame
from instar.data.tables.given import needs_cells
from instar.errors import DataError


def read_rows(estimator: Any, X: Any, *, resets: bool) -> Any:  # noqa: N803 (scikit-learn's name)
    """Return rows as Instar reads them, and set or compare the names and the number of their columns.

    Args:
        estimator: an estimator of this package, whose `reads_cells_` is set or read.
        X: rows, `[rows, columns]`.
        resets: whether they are those of `fit`.

    Returns:
        a data frame of pandas where there are words, dates or missing values, and otherwise an array of floats.

    Raises:
        ValueError: when an array has missing or infinite numbers, or rows are others than those of `fit`.
    """
    if not is_frame(X):
        if not resets and estimator.reads_cells_:
            raise DataError(
                f"{type(estimator).__name__} was fitted to a data frame of words, dates or missing values, and reads "
                f"these; got {type(X).__name__}."
            )
        found = _validate_numbers(estimator, X, resets=resets)
        if resets:
            estimator.reads_cells_ = False
        return found
    frame = as_frame_of_pandas(X)
    if resets:
        estimator.reads_cells_ = needs_cells(frame)
    if not estimator.reads_cells_:
        return _validate_numbers(estimator, X, resets=resets)
    validate_data(estimator, X, "no_validation", reset=resets, skip_check_array=True)
    if len(frame) == 0:
        raise DataError("the data frame has no rows; expected at least one.")
    return frame


def find_words(X: Any) -> str | None:  # noqa: N803
    """Return the name of the first column of a data frame that holds no numbers; None: there is none.

    >>> import pandas
    >>> find_words(pandas.DataFrame({"age": [31.5, None], "plan": ["pro", "gold"]}))
    'plan'
    """
    if not is_frame(X):
        return None
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    types = as_frame_of_pandas(X).dtypes.items()
    return next((str(name) for name, one in types if not is_numeric_dtype(one) and not is_bool_dtype(one)), None)


def _validate_numbers(estimator: Any, given: Any, *, resets: bool) -> NDArray[np.floating]:
    # students read float32, and teachers may read more
    dtype = (np.float64, np.float32) if resets else np.float32
    found: NDArray[np.floating] = validate_data(estimator, given, reset=resets, dtype=dtype, ensure_all_finite=True)
    return found
