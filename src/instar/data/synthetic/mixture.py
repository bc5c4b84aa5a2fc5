"""Mixtures of naive Bayes models, fitted by expectation maximisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from instar.data.columns.cell_rows import CellRows
from instar.seeds import generator

MAX_ROUNDS = 50
"""Rounds of expectation maximisation."""

_LEAST_RISE = 1e-4  # of the mean log likelihood in a round, below which fitting ends

_LEAST_PROBABILITY = 1e-12

_LEAST_DEVIATION = 1e-3  # of the deviation of the whole column, so that no density is infinite


@dataclass(frozen=True)
class ColumnForm:
    """Where a column is among the encoded ones.

    Args:
        is_normal: whether it is a number or a date; its first encoded column is then the standardised value.
        start: its first encoded column.
        kinds: number of words; 1 for "there is a value" of a normal column. "Missing" follows them.
        centre: mean of a normal column.
        width: deviation of a normal column.
    """

    is_normal: bool
    start: int
    kinds: int
    centre: float = 0.0
    width: float = 1.0

    @property
    def missing(self) -> int:
        """Number of the outcome "missing"."""
        return self.kinds

    @property
    def outcomes(self) -> slice:
        """Encoded columns of the outcomes, "missing" the last."""
        start = self.start + self.is_normal
        return slice(start, start + self.kinds + 1)


@dataclass(frozen=True)
class ColumnForms:
    """The encoded columns of a table.

    Args:
        columns: one for each column.
    """

    columns: tuple[ColumnForm, ...]

    @classmethod
    def of(cls, rows: CellRows) -> ColumnForms:
        """Return the forms of a table."""
        found: list[ColumnForm] = []
        start = 0
        for place, column in enumerate(rows.schema):
            values = rows.values[:, place]
            known = values[~values.isnan()]
            if column.kind in ("number", "date") and len(known):
                width = known.std(correction=0).item() or 1.0
                found.append(ColumnForm(True, start, 1, known.mean().item(), width))
            else:
                found.append(ColumnForm(False, start, len(column.categories) or 2))
            start = found[-1].outcomes.stop
        return cls(tuple(found))

    def encode(self, values: Tensor) -> Tensor:
        """Return values as standardised numbers and one-hot outcomes, float64 `[rows, encoded columns]`."""
        found = []
        for place, form in enumerate(self.columns):
            cells = values[:, place]
            codes = torch.where(cells.isnan(), form.missing, torch.zeros_like(cells) if form.is_normal else cells)
            if form.is_normal:
                found.append(((cells - form.centre) / form.width).nan_to_num(nan=0.0)[:, None])
            found.append(functional.one_hot(codes.long(), form.kinds + 1).double())
        return torch.cat(found, 1)


@dataclass(frozen=True, eq=False)
class Mixture:
    """sum_k w_k prod_a p(x_a | k).

    Args:
        weights: w, float64 `[components]`.
        means: mean of the encoded columns, `[components, encoded columns]`; that of an outcome is its probability.
        deviations: deviation of the standardised values, in their columns.
    """

    weights: Tensor
    means: Tensor
    deviations: Tensor

    def probabilities(self, form: ColumnForm) -> Tensor:
        """Return the probabilities of the outcomes of a column, `[components, outcomes]`."""
        return self.means[:, form.outcomes]

    def normals(self, form: ColumnForm) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of a normal column, each `[components]`."""
        mean, deviation = self.means[:, form.start], self.deviations[:, form.start]
        return form.centre + form.width * mean, form.width * deviation


def fit_mixture(encoded: Tensor, forms: ColumnForms, number: int) -> Mixture:
    """Return a mixture of `number` components, or of as many as there are rows, fitted to encoded rows."""
    number = min(number, len(encoded))
    start = torch.randperm(len(encoded), generator=generator(0, "components", number))[:number]
    # halfway between a row and the mean of all, so that no outcome is impossible at the start
    centres = (encoded[start] + encoded.mean(0)) / 2
    mixture = Mixture(torch.full((number,), 1 / number, dtype=torch.float64), centres, torch.ones_like(centres))
    before = -math.inf
    for _ in range(MAX_ROUNDS):
        logs = _log_joint(encoded, forms, mixture)
        whole = logs.logsumexp(1)
        mixture = _maximise(encoded, forms, (logs - whole[:, None]).exp())
        if (now := whole.mean().item()) - before < _LEAST_RISE:
            break
        before = now
    return mixture


def mean_log_likelihood(encoded: Tensor, forms: ColumnForms, mixture: Mixture) -> float:
    """Return the mean over rows of the log of their density, in nats."""
    return _log_joint(encoded, forms, mixture).logsumexp(1).mean().item()


def _log_joint(encoded: Tensor, forms: ColumnForms, mixture: Mixture) -> Tensor:
    normal, outcome, has_value = _places(forms)
    # 0 log 0 is 0 for an outcome that no row has
    logs = mixture.means[:, outcome].clamp(min=_LEAST_PROBABILITY).log()
    found = encoded[:, outcome] @ logs.T + mixture.weights.log()
    # (x - m)^2 / v in three products, each of which leaves out missing values
    x, known = encoded[:, normal], encoded[:, has_value]
    means, precisions = mixture.means[:, normal], mixture.deviations[:, normal] ** -2
    squares = (known * x * x) @ precisions.T - 2 * (known * x) @ (means * precisions).T
    squares += known @ (means * means * precisions - precisions.log() + math.log(2 * math.pi)).T
    return found - squares / 2


def _maximise(encoded: Tensor, forms: ColumnForms, share: Tensor) -> Mixture:
    normal, outcome, has_value = _places(forms)
    totals = share.sum(0)[:, None]  # [components, 1]
    means = torch.zeros(share.shape[1], encoded.shape[1], dtype=torch.float64)
    # as if one more row of the whole table had been seen, so that nothing that occurs is impossible
    means[:, outcome] = (share.T @ encoded[:, outcome] + encoded[:, outcome].mean(0)) / (totals + 1)
    x, known = encoded[:, normal], encoded[:, has_value]
    counts = share.T @ known + 1
    means[:, normal] = share.T @ (known * x) / counts
    spread = (share.T @ (known * x * x) + 1) / counts - means[:, normal] ** 2
    deviations = torch.ones_like(means)
    deviations[:, normal] = spread.clamp(min=_LEAST_DEVIATION**2).sqrt()
    return Mixture((totals[:, 0] + 1e-9) / (totals.sum() + 1e-9 * len(totals)), means, deviations)


def _places(forms: ColumnForms) -> tuple[list[int], list[int], list[int]]:
    # encoded columns of standardised values, of outcomes, and of "there is a value"
    normal = [form.start for form in forms.columns if form.is_normal]
    outcome = [at for form in forms.columns for at in range(form.outcomes.start, form.outcomes.stop)]
    return normal, outcome, [at + 1 for at in normal]
