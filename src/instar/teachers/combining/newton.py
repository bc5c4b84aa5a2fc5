"""The small systems that give each pattern of classes its share: one unknown for each dustbin of a sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.teachers.combining.columns import PatternMatrix, solution

CONVERGED_STEP = 1e-6
"""The relative step after which Newton's method ends, because the error behind it is its square."""

MAX_SCALED_ROUNDS, MAX_ROUNDS = 20, 200
"""Rounds of Newton's method: for what is well scaled, and for what is left."""


def forward(mass: Tensor, inside: Tensor, dustbins: Tensor, weights: Tensor) -> Tensor:
    """Return log d of each pattern, `[samples, patterns]`: log q_i is that much below log a_i.

    With a_i the sum of w_m p^m_i over those that know i, c_m = w_m p^m_D, and W the sum of all weights, which is that
    of all a and c, the minimum has

        q_i = a_i / d_i    d_i = W - sum_{m: i in D_m} lambda_m    lambda_m = c_m / q_D_m

    with q_D_m the sum of q over D_m. lambda maximises the concave F = sum_i a_i log d_i + sum_m c_m log lambda_m. Steps
    are Newton's for lambda_m q_D_m = c_m: those for q_D_m = c_m / lambda_m can but double a lambda that is too small.

    Args:
        mass: a summed over each pattern, `[samples, patterns]`; 0 where a pattern has no class.
        inside: which of the k specialists know which patterns, `[patterns, k]` or `[samples, patterns, k]`.
        dustbins: log p^m_D, `[samples, k]`.
        weights: w_m, `[samples, k]`.
    """
    c = weights * dustbins.exp()
    total, rest = mass.sum(1, keepdim=True) + c.sum(1, keepdim=True), mass[:, :1]
    if c.shape[1] == 0:
        return total.log_()
    if c.shape[1] == 1:
        return torch.cat([total * (rest / (rest + c)), total], 1).log_()
    outside, has_rest = PatternMatrix(1 - inside), rest > 0
    lambdas = c / outside.collect(mass)
    q = mass * (1 + outside.spread(lambdas))  # a step of expectation maximisation from the mean
    lambdas, rest = c / outside.collect(q), torch.where(has_rest, rest / q[:, :1], 0.0)
    scale = total / (rest + lambdas.sum(1, keepdim=True))
    lambdas = torch.where(has_rest, lambdas * scale, c)
    rest = torch.where(has_rest, rest * scale, total - c.sum(1, keepdim=True))
    d = torch.where(mass > 0, rest + PatternMatrix(inside).spread(lambdas), 1.0)
    easy, others = has_rest[:, 0].nonzero()[:, 0], (~has_rest[:, 0]).nonzero()[:, 0]
    left = _ascend(mass, inside, c, d, lambdas, easy, MAX_SCALED_ROUNDS, pivoted=False)
    _ascend(mass, inside, c, d, lambdas, torch.cat([left, others]), MAX_ROUNDS, pivoted=True)
    return d.log_()


def _ascend(
    mass: Tensor, inside: Tensor, c: Tensor, d: Tensor, lambdas: Tensor, rows: Tensor, rounds: int, *, pivoted: bool
) -> Tensor:
    """Solve for d and lambda of `forward` in place, at `rows`, and return the rows that have not converged.

    Not pivoted, the unknowns are lambda and d of the classes that no specialist knows, who must be there: each d is a
    sum of some of them, and so keeps its digits however small it is.
    """
    outside, columns = PatternMatrix(1 - inside).of(rows), PatternMatrix(inside).of(rows)
    if not pivoted:
        columns = PatternMatrix(torch.cat([torch.ones_like(columns.matrix[..., :1]), columns.matrix], -1))
    mass, c, own, known = mass[rows], c[rows], d[rows], lambdas[rows]
    for _ in range(rounds if len(rows) else 0):
        q = mass / own
        there = known * outside.collect(q)
        if pivoted:
            change, step = _pivoted(-outside.matrix, q / own, there / known / known, (c - there) / known)
            change, step = change / own, step / known
        else:
            x = torch.cat([own[:, :1], known], 1)
            matrix = columns.gram(q / own) * x[:, :, None] * x[:, None]
            matrix.diagonal(dim1=1, dim2=2)[:, 1:] += there
            step = solution(matrix, F.pad(c - there, (1, 0)))
            step -= (x * step).sum(1, keepdim=True) / x.sum(1, keepdim=True)  # because x sums to W
            change, step = columns.spread(x * step) / own, step[:, 1:]
        change = torch.where(mass > 0, change, 0.0)
        going = (~(torch.maximum(step.abs().amax(1), change.abs().amax(1)) <= CONVERGED_STEP)).nonzero().view(-1)
        change, step = change.nan_to_num(0.0, 0.0, 0.0), step.nan_to_num(0.0, 0.0, 0.0)  # where digits are lost
        length = _length(mass, c, change, step)[:, None]
        own, known = own * (1 + length * change), known * (1 + length * step)
        if len(going) < len(rows):
            d[rows], lambdas[rows] = own, known
            rows, mass, c, own, known = (one.index_select(0, going) for one in (rows, mass, c, own, known))
            outside, columns = outside.of(going), columns.of(going)
        if not len(rows):
            break
    d[rows], lambdas[rows] = own, known
    return rows


def _pivoted(matrix: Tensor, weights: Tensor, own: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return T x, `[samples, patterns]`, and x, `[samples, k]`, of (T' diag(weights) T + diag(own)) x = right.

    The unknowns become those k of the rows of T x and x that have the largest weights and do not depend on each other.
    A weight may then be any number of times another, and neither is lost.
    """
    samples, k = right.shape
    unit = torch.eye(k, dtype=right.dtype, device=right.device).expand(samples, k, k)
    rows = torch.cat([matrix.expand(samples, *matrix.shape[-2:]), unit], 1)
    weights = torch.cat([weights, own], 1)
    unused = torch.ones_like(right)
    for _ in range(k):
        free = (rows * unused[:, None]).abs().amax(2) > 1e-9
        row = rows.take_along_dim(torch.where(free, weights, -1.0).argmax(1)[:, None, None], 1)
        column = (row.abs() * unused[:, None]).argmax(2, keepdim=True)
        pivot = rows.take_along_dim(column, 2) / row.take_along_dim(column, 2)
        rows = (rows - pivot * row).scatter(2, column.expand_as(pivot), pivot)
        unused = unused.scatter(1, column[:, 0], 0.0)
    right = (right[:, None] @ rows[:, -k:]).squeeze(1)
    found = (rows @ solution((rows.mT * weights[:, None]) @ rows, right)[:, :, None]).squeeze(2)
    return found[:, :-k], found[:, -k:]


def _length(mass: Tensor, c: Tensor, change: Tensor, step: Tensor) -> Tensor:
    """Return which part of a step to go, `[samples]`: inside the bounds, and so that the objective grows."""
    least = torch.minimum(change.amin(1), step.amin(1))
    length = 0.99 / -least.clamp(max=-0.99)
    slope = (mass * change).sum(1) + (c * step).sum(1)
    far = (torch.maximum(change.amax(1), -least) > 0.1) & (slope > 1e-13)  # near, Newton's method needs no help
    for _ in range(30):
        part = length[:, None]
        gain = (mass * (part * change).log1p()).sum(1) + (c * (part * step).log1p()).sum(1)
        short = far & ~(gain >= 1e-4 * length * slope)
        if not short.any():
            break
        length = torch.where(short, length / 2, length)
    return length


def reverse(mass: Tensor, inside: Tensor, dustbins: Tensor, weights: Tensor, heard: Tensor) -> Tensor:
    """Return s of each pattern, `[samples, patterns]`: log q_i is that much below log g_i.

    With g_i = exp(sum of w_m log p^m_i over those that know i / W_i) and W_i the sum of their weights, stationarity is

        log q_i = log g_i - s_i    s_i = (mu + sum_{m: i in D_m} nu_m) / W_i    nu_m = w_m (log q_D_m - log p^m_D)

    and sum_i q_i = 1. Newton's method for the logarithms of both sides, which are nearly linear in nu and mu.

    Args:
        mass: g summed over each pattern, `[samples, patterns]`; 0 where a pattern has no class.
        inside: which of the k specialists know which patterns, `[patterns, k]` or `[samples, patterns, k]`.
        dustbins: log p^m_D, `[samples, k]`.
        weights: w_m, `[samples, k]`.
        heard: W of each pattern, `[samples, patterns]`.
    """
    if weights.shape[1] == 0:
        return mass.log()
    columns = PatternMatrix(torch.cat([torch.ones_like(inside[..., :1]), 1 - inside], -1))
    log_mass = mass.log()
    found, left = torch.zeros_like(mass), torch.arange(len(mass), device=mass.device)
    x = torch.zeros(len(mass), weights.shape[1] + 1, dtype=mass.dtype, device=mass.device)

    def residual(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = (log_mass - columns.spread(x) / heard).clamp_(max=300.0).exp_()
        sums = columns.collect(q).clamp_(min=1e-300)
        wrong = sums.log()
        wrong[:, 1:] -= dustbins + x[:, 1:] / weights
        return q, sums, wrong

    q, sums, wrong = residual(x)
    for _ in range(MAX_ROUNDS):
        matrix = columns.gram(q / heard)
        matrix.diagonal(dim1=1, dim2=2)[:, 1:] += sums[:, 1:] / weights
        step = solution(matrix, sums * wrong)
        before = (wrong**2).sum(1)
        length = torch.ones_like(before)
        for _ in range(30):
            q, sums, wrong = residual(x + length[:, None] * step)
            worse = ~((wrong**2).sum(1) <= (1 - 1e-4 * length) * before + 1e-18)
            if not worse.any():
                break
            length = torch.where(worse, length / 2, length)
        x = x + length[:, None] * step
        largest = (columns.spread(step) / heard).abs().amax(1)
        going = (~(largest <= CONVERGED_STEP)).nonzero().view(-1)
        if len(going) < len(left):
            found[left] = columns.spread(x) / heard
            left, log_mass, dustbins, weights, heard, x, q, sums, wrong = (
                one.index_select(0, going) for one in (left, log_mass, dustbins, weights, heard, x, q, sums, wrong)
            )
            columns = columns.of(going)
        if not len(left):
            break
    found[left] = columns.spread(x) / heard
    return found
