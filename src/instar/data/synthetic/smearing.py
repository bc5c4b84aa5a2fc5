"""Smearing: rows of which some cells are those of other rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import checked
from instar.data.columns.cell_rows import CellRows
from instar.data.synthetic.generator import FittedToCells, RowGenerator
from instar.data.synthetic.munge import Probability
from instar.seeds import Draws


@checked
@dataclass(frozen=True)
class Smearing(RowGenerator):
    """A random row, each cell of which is replaced with probability p by that of another random row.

    Source: Breiman and Shang 1996, "Born again trees", who call p the probability of alternating.

    Args:
        probability: p; a small one stays near the rows of the table.

    Raises:
        ConfigError: when p is outside [0, 1].

    >>> from instar.data.columns.schema import Schema, TableColumn
    >>> schema = Schema((TableColumn("age", "number"), TableColumn("rooms", "number")))
    >>> table = CellRows(torch.tensor([[31.0, 1.0], [40.0, 2.0]], dtype=torch.float64), schema)
    >>> Smearing(0.5).fit(table).make_values(Draws(0, torch.arange(4), 0)).tolist()
    [[31.0, 1.0], [40.0, 1.0], [40.0, 2.0], [31.0, 1.0]]
    """

    probability: Probability = 0.5

    def fit(self, rows: CellRows) -> FittedSmearing:
        """Return the generator of rows like these."""
        return FittedSmearing(rows, self.probability)


@dataclass(frozen=True, eq=False)
class FittedSmearing(FittedToCells):
    """Smearing of a table.

    Args:
        probability: probability that a cell is replaced.
    """

    probability: float

    def make_values(self, draws: Draws) -> Tensor:
        """Return the cells of the rows of some draws."""
        values = self.rows.values
        own = values.index_select(0, draws.below(len(values), "row"))
        limits = torch.full_like(draws.ids, len(values))
        other = values.gather(0, draws.table_below(limits, values.shape[1], "other"))
        return torch.where(draws.uniform_table(own.shape[1:], "chance") < self.probability, other, own)
