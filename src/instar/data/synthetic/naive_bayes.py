"""Rows drawn from a mixture of products of distributions, one for each column."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import Count, checked
from instar.data.columns.cell_rows import CellRows
from instar.data.synthetic.generator import FittedToCells, RowGenerator
from instar.data.synthetic.mixture import ColumnForms, Mixture, fit_mixture, mean_log_likelihood
from instar.data.synthetic.quantities import Quantities
from instar.seeds import Draws, generator

MAX_COMPONENTS = 64
"""Most components that are tried."""

HELD_OUT_SHARE = 0.1
"""Share of the rows that choose the number of components."""


@checked
@dataclass(frozen=True)
class NaiveBayes(RowGenerator):
    """A draw from a density sum_k w_k prod_a p(x_a | k), fitted to the table by expectation maximisation.

    Within a component, numbers and dates are normal, words and booleans have a probability each, and a value is missing
    with a probability of its own. Numbers and dates keep the range and the decimals of their column.

    Source: Lowd and Domingos 2005, "Naive Bayes models for probability estimation", which Bucila, Caruana and
    Niculescu-Mizil 2006 call NBE.

    Args:
        components: number of components; None: 1, 2, 4, ... up to 64, as long as held-out rows become more likely.

    Raises:
        ConfigError: when an argument is outside its range.

    >>> from instar.data.columns.schema import Schema, TableColumn
    >>> schema = Schema((TableColumn("age", "number"), TableColumn("vip", "boolean")))
    >>> young, old = torch.tensor([[20.0, 0.0], [22.0, 0.0]]), torch.tensor([[60.0, 1.0], [62.0, 1.0]])
    >>> table = CellRows(torch.cat([young, old]).repeat(20, 1).double(), schema)
    >>> made = NaiveBayes(2).fit(table).make(torch.arange(200), seed=0).values
    >>> ((made[:, 0] > 40) == (made[:, 1] > 0)).double().mean().item() > 0.95
    True
    """

    components: Count | None = None

    def fit(self, rows: CellRows) -> FittedNaiveBayes:
        """Return the generator of rows like these."""
        forms = ColumnForms.of(rows)
        encoded = forms.encode(rows.values)
        number = self.components or _choose_number(encoded, forms)
        return FittedNaiveBayes(rows, Quantities.of(rows), forms, fit_mixture(encoded, forms, number))


def _choose_number(encoded: Tensor, forms: ColumnForms) -> int:
    order = torch.randperm(len(encoded), generator=generator(0, "mixture"))  # belongs to the table, not to a seed
    count = math.ceil(HELD_OUT_SHARE * len(encoded))
    held_out, rest = encoded[order[:count]], encoded[order[count:]]
    best, number, chosen = -math.inf, 1, 1
    while number <= min(MAX_COMPONENTS, len(rest)):
        found = mean_log_likelihood(held_out, forms, fit_mixture(rest, forms, number))
        if found <= best:
            break
        best, chosen, number = found, number, 2 * number
    return chosen


@dataclass(frozen=True, eq=False)
class FittedNaiveBayes(FittedToCells):
    """A mixture of a table.

    Args:
        quantities: numbers and dates of the table.
        forms: which columns are normal.
        mixture: weights and distributions.
    """

    quantities: Quantities
    forms: ColumnForms
    mixture: Mixture

    def make_values(self, draws: Draws) -> Tensor:
        """Return the cells of the rows of some draws."""
        component = _choose(self.mixture.weights.expand(len(draws.ids), -1), draws.uniform("component"))
        shape = (len(self.rows.schema),)
        chance, normal = draws.uniform_table(shape, "chance"), draws.uniform_table(shape, "normal")
        columns: list[Tensor] = []
        for place, form in enumerate(self.forms.columns):
            # the last of the probabilities is that of a missing value
            found = _choose(self.mixture.probabilities(form)[component], chance[:, place])
            drawn = found.double()
            if form.is_normal:
                mean, deviation = self.mixture.normals(form)
                drawn = mean[component] + deviation[component] * torch.special.ndtri(normal[:, place])
            columns.append(torch.where(found == form.missing, torch.nan, drawn))
        return self.quantities.settle(torch.stack(columns, 1))


def _choose(probabilities: Tensor, chance: Tensor) -> Tensor:
    limits = probabilities.cumsum(1)
    # scaled, so that rounding of the sum leaves no chance above the last limit
    return (chance[:, None] * limits[:, -1:] >= limits[:, :-1]).sum(1)
