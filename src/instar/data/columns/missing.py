"""Why data have no column that a model reads."""

from __future__ import annotations

from collections.abc import Sequence

from instar.data.columns.cell_rows import CELLS
from instar.data.columns.sounds import WAVES
from instar.data.columns.texts import TEXT, TEXT_PAIR
from instar.errors import nearest

_MODELS = {CELLS: "tables", TEXT: "texts", TEXT_PAIR: "pairs of texts", "frames": "recordings"}
"""What models read by columns that no user has named."""


def explain_missing_column(where: str, name: str, found: Sequence[str]) -> str:
    """Return a sentence about a column that data lack.

    Args:
        where: name of the data.
        name: name of the column.
        found: names of the columns that the data have.

    >>> explain_missing_column("films", "cells", ["text"]).split(";")[0]
    "'films' has no column 'cells', so a model of tables cannot read it"
    """
    if name == WAVES:
        return f"'{where}' has no sound to read; load recordings with data.states=0."
    if name in _MODELS:
        return (
            f"'{where}' has no column '{name}', so a model of {_MODELS[name]} cannot read it; found: "
            f"{', '.join(found)}. Give data of the kind that the model was trained on."
        )
    return (
        f"'{where}' has no column '{name}'; {nearest(name, found)} Columns are given as "
        f"load_data(..., columns={{'{name}': {{'train': ..., 'test': ...}}}})."
    )
