"""Data sets of tables about forests, as rows of numbers, and measurements that are kept in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import DataError
from instar.runs.files import read_json, write_json

Rows = NDArray[np.float64]
Labels = NDArray[np.intp]


FEW_COLUMNS: dict[str, list[Any]] = {
    "breast cancer": [1, 2, 3, 4, 5, 6, 7, 8, 9],
    "wine": [0, 1, 2, 3, 4, 5, 6],
    "diabetes": [1, 2, 3, 5, 6, 7, 8, 9],
    "digits": [1, 2, 4, 5, 6, 9, 10, 13],
    "churn": [
        "tenure",
        "monthly_charges",
        "senior_citizen",
        "paperless_billing",
        "contract",
        "internet_service",
        "payment_method",
        "partner",
    ],
    "diamonds": ["carat", "depth", "table", "price", "x", "y", "z"],
}
"""About as many columns as in the data set of Vidal and Schiffer (2020) in whose place each stands."""


def load_rows(name: str, folder: str, *, few: bool) -> tuple[Rows, Labels]:
    """Return rows of numbers `[rows, columns]` and the number of the class of each, `[rows]`.

    Missing numbers become the median of their column.

    Args:
        name: "breast cancer", "wine", "diabetes" (above the median or not) or "digits" (4 x 4 pixels; 0 to 4 against 5
            to 9) of scikit-learn; "churn", or "diamonds" (an ideal cut or not), at most 10,000 rows.
        folder: folder of `churn` and `diamonds`.
        few: whether to take `FEW_COLUMNS`, and a column for each value of a word; otherwise a word becomes its number.

    >>> rows, labels = load_rows("wine", "", few=True)
    >>> rows.shape, np.bincount(labels).tolist()
    ((178, 7), [59, 71, 48])
    """
    if name in ("churn", "diamonds"):
        return _load_table(name, Path(folder), few=few)
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

    load = {"breast cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes, "digits": load_digits}
    rows, labels = load[name](return_X_y=True)
    if name == "diabetes":
        labels = labels > np.median(labels)
    if name == "digits":
        rows, labels = rows.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16), labels > 4
    return rows[:, FEW_COLUMNS[name]] if few else rows, labels.astype(np.intp)


def _load_table(name: str, folder: Path, *, few: bool) -> tuple[Rows, Labels]:
    import pandas

    files = [file for split in ("train", "test") for file in sorted((folder / name).glob(f"{split}-*"))]
    if not files:
        raise DataError(f"there is no '{folder / name}' with Parquet files; give the folder that holds it with --data.")
    table = pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True).head(10_000)
    target, positive = ("churn", "Yes") if name == "churn" else ("cut", "Ideal")
    labels = (table.pop(target) == positive).to_numpy().astype(np.intp)
    table = table[FEW_COLUMNS[name]] if few else table
    numbers = table.select_dtypes("number").astype("float64")
    words = table.drop(columns=numbers.columns).astype("category")
    if few:
        table = pandas.get_dummies(numbers.fillna(numbers.median()).join(words), drop_first=True, dtype=float)
    else:
        coded = words.apply(lambda column: column.cat.codes.astype(float))
        table = numbers.fillna(numbers.median()).join(coded)
    rows: Rows = table.to_numpy(np.float64)
    return rows, labels


def bin_columns(rows: Rows, bins: int = 10) -> Rows:
    """Return the number of the quantile of each cell, at most `bins` of each column.

    >>> bin_columns(np.arange(8.0).reshape(-1, 1), 4).ravel().tolist()
    [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    """
    found = np.empty_like(rows)
    for column, values in enumerate(rows.T):
        edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
        found[:, column] = np.searchsorted(edges, values)
    return found


def remember(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is in a file; measure it and write the file first where there is none, so a killed table goes on."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, measure())
    found: dict[str, Any] = read_json(path, sealed=True)
    return found
