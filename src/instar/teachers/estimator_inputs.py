"""What a fitted estimator reads of a batch: rows of numbers, or a data frame with the columns that it was fitted to."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.data.batch import Batch, given_inputs
from instar.data.columns.cell_rows import CellRows
from instar.errors import MismatchError, nearest
from instar.teachers.boosters import known_names


def read_features(estimator: Any, batch: Batch, noun: str) -> Any:
    """Return an array `[batch, features]` in its original precision, or a data frame.

    Images are flattened in the order of axes of the arrays that the user gave; images of files have channels first.

    Args:
        estimator: fitted estimator.
        batch: batch of a loader.
        noun: "classifier" or "regressor", for error messages.

    Raises:
        MismatchError: when its features are not those of the data.
    """
    who = f"the {noun} {type(estimator).__name__}"
    source = batch.origin.samples.source if batch.origin else None
    names = source.input_names if source else ()
    table = source.table if source else None
    if names and table is None:
        raise MismatchError(
            f"{who} reads one array, and the data have several inputs: {', '.join(names)}; give it one of them as the "
            "inputs, or a network that takes them by name."
        )
    inputs = _read_array(estimator, batch, who) if table is None else _read_frame(estimator, table, batch, who)
    width = getattr(estimator, "n_features_in_", inputs.shape[1])
    if width != inputs.shape[1]:
        raise MismatchError(
            f"{who} was fitted to {width} features, and the data have {inputs.shape[1]}; give the inputs that it was "
            "fitted to."
        )
    return inputs


def name_estimator(estimator: Any) -> str:
    """Return the class of an estimator; of a pipeline, also that of its last step.

    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> name_estimator(LinearRegression()), name_estimator(make_pipeline(LinearRegression()))
    ('LinearRegression', 'Pipeline(LinearRegression)')
    """
    name, steps = type(estimator).__name__, getattr(estimator, "steps", None)
    return f"{name}({name_estimator(steps[-1][1])})" if name == "Pipeline" and steps else name


def predict_rows(estimator: Any, method: Any, inputs: Any, noun: str) -> NDArray[Any]:
    """Return what a method of an estimator predicts for what `read_features` returned.

    Raises:
        MismatchError: when it raises an error, as for a word that it does not know.
    """
    names = getattr(estimator, "feature_names_in_", None)
    given = inputs
    # fitted to a table: scikit-learn warns about inputs without names at every batch
    if names is not None and isinstance(inputs, np.ndarray):
        import pandas

        given = pandas.DataFrame(inputs, columns=list(names))
    try:
        return np.asarray(method(given))
    except (ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise MismatchError(f"the {noun} {type(estimator).__name__} cannot predict: {reason}.") from None


def _read_array(estimator: Any, batch: Batch, who: str) -> NDArray[Any]:
    given = given_inputs(batch)
    # the source has moved channels first for networks; the estimator was fitted to the arrays of the user
    if batch.origin and batch.origin.samples.source.settings.get("layout") == "HWC":
        given = given.movedim(1, -1)
    inputs: NDArray[Any] = given.flatten(1).cpu().numpy()
    wanted = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    found = known_names(estimator, batch.origin.samples.source.feature_names if batch.origin else ())
    if not wanted or not found:  # arrays have no names, so their order is all that there is
        return inputs
    if missing := [name for name in wanted if name not in found]:
        raise MismatchError(
            f"{who} was fitted to a table with the column '{missing[0]}', and the data have none; "
            f"{nearest(missing[0], found)}"
        )
    return inputs[:, np.array([found.index(name) for name in wanted])]


def _read_frame(estimator: Any, table: CellRows, batch: Batch, who: str) -> Any:
    frame = _read_rows(table, torch.tensor(batch.host_ids))
    wanted = getattr(estimator, "feature_names_in_", None)
    if wanted is None:  # fitted to an array, in the order of its columns
        return frame.to_numpy()
    found = known_names(estimator, list(map(str, frame.columns)))
    if missing := [name for name in map(str, wanted) if name not in found]:
        raise MismatchError(
            f"{who} was fitted to a table with the column '{missing[0]}', and the data have none, or leave it out; "
            f"{nearest(missing[0], found)}"
        )
    return frame.iloc[:, [found.index(str(name)) for name in wanted]].set_axis(list(wanted), axis=1)


def _read_rows(table: CellRows, ids: torch.Tensor) -> Any:
    """Return rows as a data frame in which numbers and booleans are those, as pandas reads them from a file."""
    frame = table.as_frame(ids)
    if hasattr(table.given, "iloc"):  # the estimator may have been fitted to the words of this frame
        return frame
    found = {}
    # cells of CSV files are kept as they are written, so that 007 is a word
    for place, column in enumerate(table.schema):
        if column.kind in ("number", "boolean") and frame.dtypes.iloc[place].kind == "O":
            values = table.values[ids, place].numpy()
            is_whole = column.kind == "boolean" and not np.isnan(values).any()
            found[column.name] = values.astype(bool) if is_whole else values
    return frame.assign(**found) if found else frame
