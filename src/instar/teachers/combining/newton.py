"""Newton's method for the sum of q over each pattern of classes, with one unknown for each dustbin of a sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.teachers.combining.columns import PatternMatrix, solution

CONVERGED_STEP = 1e-6
"""Relative step after which Newton's method ends; the error that is left is about its square."""

MAX_SCALED_ROUNDS, MAX_ROUNDS = 20, 200
"""Largest numbers of Newton steps: without pivots, which suits nearly all samples, and with pivots for the others."""


def solve_forward(mass: Tensor, inside: Tensor, dustbins: Tensor, weights: Tensor) -> Tensor:
    """Return log d of each pattern, `[samples, patterns]`, with log q_i = log a_i - log d_i.

    Let a_i be the sum of w_m p^m_i over all that know i, c_m = w_m p^m_D, and W the sum of all weights, which equals
    the sum of all a and c. The minimum has

        q_i = a_i / d_i    d_i = W - sum_{m: i in D_m} lambda_m    lambda_m = c_m / q_D_m

    with q_D_m the sum of q over D_m. lambda maximises the concave F = sum_i a_i log d_i + sum_m c_m log lambda_m.

    Args:
        mass: sum of a over each pattern, `[samples, patterns]`; 0 for a pattern without classes.
        inside: which of the k specialists know which patterns, `[patterns, k]` or `[samples, patterns, k]`.
        dustbins: log p^m_D, `[samples, k]`.
        weights: weights w_m, `[samples, k]`.
    """
    c = weights * dustbins.exp()
    # rest: the first pattern, the classes that no specialist knows
    total, rest = mass.sum(1, keepdim=True) + c.sum(1, keepdim=True), mass[:, :1]
    if c.shape[1] == 0:  # without dustbins q = a / W, the arithmetic mean
        return total.log_()
    if c.shape[1] == 1:  # lambda = W c / (rest + c) in closed form
        return torch.cat([total * (rest / (rest + c)), total], 1).log_()
    # the start: one step of expectation maximisation from the mean
    outside, has_rest = PatternMatrix(1 - inside), rest > 0
    lambdas = c / outside.collect(mass)
    q = mass * (1 + outside.spread(lambdas))
    lambdas, rest = c / outside.collect(q), torch.where(has_rest, rest / q[:, :1], 0.0)
    scale = total / (rest + lambdas.sum(1, keepdim=True))  # so that rest + sum of lambda is W
    lambdas = torch.where(has_rest, lambdas * scale, c)
    rest = torch.where(has_rest, rest * scale, total - c.sum(1, keepdim=True))
    # d as a sum of positive numbers, rest + lambda of those that know the pattern: W - sum of lambda loses all digits
    # when d is small; an empty pattern has d = 1, which keeps its mass of 0
    d = torch.where(mass > 0, rest + PatternMatrix(inside).spread(lambdas), 1.0)
    easy, others = has_rest[:, 0].nonzero()[:, 0], (~has_rest[:, 0]).nonzero()[:, 0]
    left = _ascend(mass, inside, c, d, lambdas, easy, MAX_SCALED_ROUNDS, pivoted=False)
    _ascend(mass, inside, c, d, lambdas, torch.cat([left, others]), MAX_ROUNDS, pivoted=True)
    return d.log_()


def _ascend(
    mass: Tensor, inside: Tensor, c: Tensor, d: Tensor, lambdas: Tensor, rows: Tensor, rounds: int, *, pivoted: bool
) -> Tensor:
    """Solve for d and lambda of `solve_forward` in place, at `rows`; return the rows that have not converged."""
    outside, columns = PatternMatrix(1 - inside).of(rows), PatternMatrix(inside).of(rows)
    if not pivoted:
        # the unknowns x are the d of the first pattern, whose mass must be above 0, and lambda: each d is a sum of some
        # of them, and keeps its digits however small it is
        columns = PatternMatrix(torch.cat([torch.ones_like(columns.matrix[..., :1]), columns.matrix], -1))
    mass, c, own, known = mass[rows], c[rows], d[rows], lambdas[rows]
    for _ in range(rounds if len(rows) else 0):
        q = mass / own
        # Newton's steps are for lambda_m q_D_m = c_m; those for q_D_m = c_m / lambda_m at most double a lambda that is
        # too small
        there = known * outside.collect(q)
        if pivoted:
            change, step = _pivoted(-outside.matrix, q / own, there / known / known, (c - there) / known)
            change, step = change / own, step / known
        else:
            x = torch.cat([own[:, :1], known], 1)
            # for relative steps, which suit unknowns of any size: [samples, k + 1, k + 1]
            matrix = columns.gram(q / own) * x[:, :, None] * x[:, None]
            matrix.diagonal(dim1=1, dim2=2)[:, 1:] += there
            step = solution(matrix, F.pad(c - there, (1, 0)))
            step -= (x * step).sum(1, keepdim=True) / x.sum(1, keepdim=True)  # because x sums to W
            change, step = columns.spread(x * step) / own, step[:, 1:]
        change = torch.where(mass > 0, change, 0.0)
        # not (... <= ...): a NaN must not count as converged
        going = (~(torch.maximum(step.abs().amax(1), change.abs().amax(1)) <= CONVERGED_STEP)).nonzero().view(-1)
        change, step = change.nan_to_num(0.0, 0.0, 0.0), step.nan_to_num(0.0, 0.0, 0.0)  # where digits are lost
        length = _step_length(mass, c, change, step)[:, None]
        own, known = own * (1 + length * change), known * (1 + length * step)
        if len(going) < len(rows):  # the next rounds compute only what has not converged
            d[rows], lambdas[rows] = own, known
            rows, mass, c, own, known = (one.index_select(0, going) for one in (rows, mass, c, own, known))
            outside, columns = outside.of(going), columns.of(going)
        if not len(rows):
            break
    d[rows], lambdas[rows] = own, known
    return rows


def _pivoted(matrix: Tensor, weights: Tensor, own: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return T x, `[samples, patterns]`, and x, `[samples, k]`, of (T' diag(weights) T + diag(own)) x = right."""
    # the unknowns become those k of the rows of T x and x that have the largest weights and do not depend on each
    # other: a weight may then be any number of times another, and neither is lost
    samples, k = right.shape
    unit = torch.eye(k, dtype=right.dtype, device=right.device).expand(samples, k, k)
    rows = torch.cat([matrix.expand(samples, *matrix.shape[-2:]), unit], 1)  # [samples, patterns + k, k]
    weights = torch.cat([weights, own], 1)
    unused = torch.ones_like(right)
    for _ in range(k):  # Gauss-Jordan elimination of all samples at once, each with its own pivots
        free = (rows * unused[:, None]).abs().amax(2) > 1e-9  # entries start as 0, 1 or -1, so less is rounding
        row = rows.take_along_dim(torch.where(free, weights, -1.0).argmax(1)[:, None, None], 1)
        column = (row.abs() * unused[:, None]).argmax(2, keepdim=True)
        pivot = rows.take_along_dim(column, 2) / row.take_along_dim(column, 2)
        rows = (rows - pivot * row).scatter(2, column.expand_as(pivot), pivot)
        unused = unused.scatter(1, column[:, 0], 0.0)
    right = (right[:, None] @ rows[:, -k:]).squeeze(1)
    found = (rows @ solution((rows.mT * weights[:, None]) @ rows, right)[:, :, None]).squeeze(2)
    return found[:, :-k], found[:, -k:]


def _step_length(mass: Tensor, c: Tensor, change: Tensor, step: Tensor) -> Tensor:
    # d and lambda are positive, so no relative step goes beyond -1, and a step that would is cut to 0.99 of the way
    least = torch.minimum(change.amin(1), step.amin(1))
    length = 0.99 / -least.clamp(max=-0.99)
    # then halved until F grows by a share of its slope (Armijo); near the maximum Newton's method needs no help, and
    # the gain would be rounding error
    slope = (mass * change).sum(1) + (c * step).sum(1)
    far = (torch.maximum(change.amax(1), -least) > 0.1) & (slope > 1e-13)
    for _ in range(30):
        part = length[:, None]
        gain = (mass * (part * change).log1p()).sum(1) + (c * (part * step).log1p()).sum(1)
        short = far & ~(gain >= 1e-4 * length * slope)
        if not short.any():
            break
        length = torch.where(short, length / 2, length)
    return length


def solve_reverse(mass: Tensor, inside: Tensor, dustbins: Tensor, weights: Tensor, known_weight: Tensor) -> Tensor:
    """Return s of each pattern, `[samples, patterns]`, with log q_i = log g_i - s_i.

    Let W_i be the sum of the weights of all that know i, and g_i = exp(sum of their w_m log p^m_i / W_i). The minimum
    has

        log q_i = log g_i - s_i    s_i = (mu + sum_{m: i in D_m} nu_m) / W_i    nu_m = w_m (log q_D_m - log p^m_D)

    and sum_i q_i = 1.

    Args:
        mass: sum of g over each pattern, `[samples, patterns]`; 0 for a pattern without classes.
        inside: which of the k specialists know which patterns, `[patterns, k]` or `[samples, patterns, k]`.
        dustbins: log p^m_D, `[samples, k]`.
        weights: weights w_m, `[samples, k]`.
        known_weight: W of each pattern, `[samples, patterns]`.
    """
    if weights.shape[1] == 0:  # without dustbins q = g / sum of g, the normalised geometric mean
        return mass.log()
    # the unknowns x are mu, which every class has, and nu of each dustbin
    columns = PatternMatrix(torch.cat([torch.ones_like(inside[..., :1]), 1 - inside], -1))
    log_mass = mass.log()
    found, left = torch.zeros_like(mass), torch.arange(len(mass), device=mass.device)
    x = torch.zeros(len(mass), weights.shape[1] + 1, dtype=mass.dtype, device=mass.device)

    def residual(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # the logarithms of both sides, which are nearly linear in mu and nu; the clamps keep a step that is far too
        # long finite until it is halved
        q = (log_mass - columns.spread(x) / known_weight).clamp_(max=300.0).exp_()
        sums = columns.collect(q).clamp_(min=1e-300)  # sum of q, and q_D of each dustbin
        wrong = sums.log()
        wrong[:, 1:] -= dustbins + x[:, 1:] / weights
        return q, sums, wrong

    q, sums, wrong = residual(x)
    for _ in range(MAX_ROUNDS):
        # minus the Jacobian of `wrong`, with its rows times `sums`, which makes it symmetric and positive definite
        matrix = columns.gram(q / known_weight)
        matrix.diagonal(dim1=1, dim2=2)[:, 1:] += sums[:, 1:] / weights
        step = solution(matrix, sums * wrong)
        before = (wrong**2).sum(1)
        length = torch.ones_like(before)
        for _ in range(30):  # halved until the residual falls, or is rounding error
            q, sums, wrong = residual(x + length[:, None] * step)
            worse = ~((wrong**2).sum(1) <= (1 - 1e-4 * length) * before + 1e-18)
            if not worse.any():
                break
            length = torch.where(worse, length / 2, length)
        x = x + length[:, None] * step
        largest = (columns.spread(step) / known_weight).abs().amax(1)
        going = (~(largest <= CONVERGED_STEP)).nonzero().view(-1)  # a NaN has not converged
        if len(going) < len(left):
            found[left] = columns.spread(x) / known_weight
            left, log_mass, dustbins, weights, known_weight, x, q, sums, wrong = (
                one.index_select(0, going)
                for one in (left, log_mass, dustbins, weights, known_weight, x, q, sums, wrong)
            )
            columns = columns.of(going)
        if not len(left):
            break
    found[left] = columns.spread(x) / known_weight
    return found
