"""Rows whose cells are drawn independently of each other."""

from __future__ import annotations

from dataclasses import dataclass

from instar.checks import checked
from instar.data.columns.cell_rows import CellRows
from instar.data.synthetic.generator import RowGenerator
from instar.data.synthetic.smearing import FittedSmearing


@checked
@dataclass(frozen=True)
class Marginals(RowGenerator):
    """Each cell is that of a random row, drawn independently of all other cells.

    So columns have the distribution of the table, and nothing of how they depend on each other: most rows lie where
    there are no data. This is the weakest of the generators, RANDOM in the paper, and a control.

    Source: Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", section 3.1.

    >>> import torch
    >>> from instar.data.columns.schema import Schema, TableColumn
    >>> schema = Schema((TableColumn("age", "number"), TableColumn("rooms", "number")))
    >>> table = CellRows(torch.tensor([[31.0, 1.0], [40.0, 2.0]], dtype=torch.float64), schema)
    >>> Marginals().fit(table).make(torch.arange(3), seed=0).values.tolist()
    [[40.0, 2.0], [40.0, 1.0], [40.0, 1.0]]
    """

    def fit(self, rows: CellRows) -> FittedSmearing:
        """Return the generator of rows like these."""
        return FittedSmearing(rows, 1.0)
