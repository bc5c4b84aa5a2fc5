"""MUNGE: rows between each row and its nearest neighbour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.checks import Positive, checked
from instar.data.columns.cell_rows import CellRows
from instar.data.synthetic.generator import FittedToCells, RowGenerator
from instar.data.synthetic.nearest import find_nearest
from instar.data.synthetic.quantities import Quantities
from instar.seeds import Draws, generator

Probability = Annotated[float, Field(ge=0, le=1, description="from 0 to 1")]


@checked
@dataclass(frozen=True)
class Munge(RowGenerator):
    """A row e whose cells are changed, each with probability p, towards its nearest other row e'.

    A number or date becomes a draw from N(e'_a, sd) with sd = |e_a - e'_a| / s; a word or boolean becomes e'_a, and so
    does any cell that is missing in one of the two. Numbers and dates keep the range and the decimals of their column.
    Each row of the table is changed once in each pass over it, in another order in each pass.

    The paper changes both rows of a pair at once, and later pairs read what earlier ones have changed. Here each row is
    made from the given table, because row i then depends on (seed, i) alone.

    Source: Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", algorithm 1.

    Args:
        probability: p, the probability that a cell is changed.
        divisor: s, the "local variance parameter"; larger ones stay closer to e'.

    Raises:
        ConfigError: when an argument is outside its range.

    >>> from instar.data.columns.schema import Schema, TableColumn
    >>> schema = Schema((TableColumn("age", "number"), TableColumn("plan", "word", ("basic", "pro"))))
    >>> table = torch.tensor([[20.0, 0.0], [24.5, 1.0], [60.0, 1.0], [62.0, 0.0]], dtype=torch.float64)
    >>> Munge(1, divisor=4).fit(CellRows(table, schema)).make(torch.arange(4), seed=0).values.tolist()
    [[36.6, 1.0], [22.1, 0.0], [62.0, 0.0], [48.3, 1.0]]
    """

    probability: Probability = 0.5
    divisor: Positive = 1.0

    def fit(self, rows: CellRows) -> FittedMunge:
        """Return the generator of rows like these; finds the neighbour of each."""
        return FittedMunge(rows, Quantities.of(rows), find_nearest(rows), self)


@dataclass(frozen=True, eq=False)
class FittedMunge(FittedToCells):
    """MUNGE of a table.

    Args:
        quantities: numbers and dates of the table.
        nearest: number of the nearest other row of each row, int64 `[rows]`.
        settings: its parameters.
    """

    quantities: Quantities
    nearest: Tensor
    settings: Munge

    def make_values(self, draws: Draws) -> Tensor:
        """Return the cells of the rows of some draws."""
        base = take_turns(draws.ids, len(self.rows), draws.seed)
        own = self.rows.values.index_select(0, base)
        other = self.rows.values.index_select(0, self.nearest[base])
        shape = own.shape[1:]
        spread = (own - other).abs() / self.settings.divisor
        drawn = other + spread * torch.special.ndtri(draws.uniform_table(shape, "normal"))
        # with a missing cell there is no difference to draw from
        changed = torch.where(self.quantities.is_quantity & ~drawn.isnan(), drawn, other)
        is_changed = draws.uniform_table(shape, "chance") < self.settings.probability
        return self.quantities.settle(torch.where(is_changed, changed, own))


def take_turns(ids: Tensor, rows: int, seed: int) -> Tensor:
    """Return a row of a table for each id, so that each is taken once in each pass over the table.

    Args:
        ids: int64 `[n]`; ids `k * rows` to `k * rows + rows - 1` are pass k.
        rows: number of rows of the table.
        seed: seed of the order of each pass.

    >>> sorted(take_turns(torch.arange(5, 10), 5, seed=0).tolist())
    [0, 1, 2, 3, 4]
    """
    passes, places = ids // rows, ids % rows
    found = torch.empty_like(ids)
    for number in passes.unique().tolist():
        order = torch.randperm(rows, generator=generator(seed, "pass", number))
        mine = passes == number
        found[mine] = order[places[mine]]
    return found
