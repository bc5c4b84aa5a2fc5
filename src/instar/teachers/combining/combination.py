"""Combines the predictions of a generalist and of specialists into one distribution over all classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from instar.errors import ConfigError, MismatchError
from instar.teachers.combining.newton import solve_forward, solve_reverse
from instar.teachers.combining.opinion import MIN_LOG_PROBABILITY, Opinion, entries, put, take
from instar.teachers.combining.patterns import Patterns

Divergence = Literal["forward", "reverse"]


@torch.no_grad()
def combine_opinions(
    log_probs: Tensor, opinions: Sequence[Opinion], divergence: Divergence = "forward", weight: float = 1.0
) -> Tensor:
    """Return log q, `[samples, classes]`, of the q that is nearest to the predictions of a generalist and specialists.

    D_m are the classes that specialist m does not know, and q^m is q on S_m with the sum of q over D_m. q minimises

        forward    w_g KL(p^g || q) + sum_m w_m KL(p^m || q^m)
        reverse    w_g KL(q || p^g) + sum_m w_m KL(q^m || p^m)

    over the specialists m that are active for the sample: without dustbins the weighted arithmetic mean, and the
    normalised weighted geometric mean. A pattern is the set of classes that the same specialists know. Within a
    pattern, q has the proportions of the mean of those specialists, so only the sum of q over each pattern is solved
    for. A sample without active specialists keeps the generalist's row, to the last bit.

    Source: Hinton et al. 2015, section 5.4; forward is its equation 5.

    Args:
        log_probs: log-probabilities of the generalist, `[samples, classes]`. Values below -600 count as -600, as do
            those of specialists.
        opinions: predictions of specialists, in any order.
        divergence: "forward" or "reverse".
        weight: weight w_g of the generalist, above 0.

    Raises:
        ConfigError: when weights are not above 0, or one sample has more than 52 dustbins.
        MismatchError: when an opinion has a dustbin for no class, or none for classes that it leaves out.

    >>> generalist = torch.tensor([[0.7, 0.2, 0.1]]).log()
    >>> unsure = Opinion(torch.tensor([0]), torch.tensor([[0.3, 0.3, 0.4]]).log(), torch.tensor([0, 1]))
    >>> [round(float(p), 4) for p in combine_opinions(generalist, [unsure])[0].exp()]
    [0.5, 0.25, 0.25]
    """
    if divergence not in get_args(Divergence):
        raise ConfigError(f"combine_opinions(divergence) must be 'forward' or 'reverse', got {divergence!r}.")
    for one in opinions:
        _refuse(one, log_probs.shape[1], weight)
    # relative to the generalist, whose weight is 1 from here on: q depends on ratios of weights alone
    opinions = [replace(one, weight=one.weight / weight) for one in opinions]
    # a specialist of all classes only changes the mean; each dustbin adds one unknown
    partial = [one for one in opinions if one.has_dustbin]
    patterns = Patterns(partial, len(log_probs), log_probs.shape[1], log_probs.device)
    pooled, total = _pool(log_probs, opinions, divergence)
    dustbins, weights = patterns.dustbins(partial)
    known_weight = patterns.known_weight(total, weights)
    if divergence == "reverse":
        patterns.divide(pooled, partial, total, known_weight)
    mass, kept = patterns.masses(pooled, partial)
    shift = torch.empty_like(mass)
    for part in patterns.parts():
        log_p, w = dustbins[part.rows, : part.dustbins], weights[part.rows, : part.dustbins]
        if divergence == "forward":
            part.of(shift).copy_(solve_forward(part.of(mass), part.inside, log_p, w))
        else:
            part.of(shift).copy_(solve_reverse(part.of(mass), part.inside, log_p, w, part.of(known_weight)))
    patterns.subtract(pooled, partial, shift, kept)
    # the generalist's own bits, which pooling has clamped
    is_inactive = torch.ones(len(pooled), dtype=torch.bool, device=pooled.device)
    for one in opinions:
        is_inactive[one.rows] = False
    rows = is_inactive.nonzero().view(-1)
    pooled.index_copy_(0, rows, log_probs.index_select(0, rows))
    return pooled


def _refuse(opinion: Opinion, classes: int, weight: float) -> None:
    if not (0 < weight < float("inf") and 0 < opinion.weight < float("inf")):
        raise ConfigError(f"combine_opinions(weights) must be above 0, got {weight} and {opinion.weight}.")
    (n, width), own = opinion.log_probs.shape, len(opinion.classes)
    if n != len(opinion.rows) or width - own not in (0, 1):
        raise MismatchError(
            f"an opinion of {own} classes on {len(opinion.rows)} samples must be [{len(opinion.rows)}, {own}] or "
            f"[{len(opinion.rows)}, {own + 1}], got {list(opinion.log_probs.shape)}."
        )
    if opinion.has_dustbin != (own < classes):
        held = "has a dustbin" if opinion.has_dustbin else "has no dustbin"
        raise MismatchError(f"an opinion of {own} of {classes} classes {held}; it must have one for those left out.")


def _pool(log_probs: Tensor, opinions: Sequence[Opinion], divergence: Divergence) -> tuple[Tensor, Tensor]:
    """Return the pooled predictions, `[samples, classes]`, and the weight of all that know all classes, `[samples]`.

    For class i, over the generalist, whose weight is 1, and all specialists m that know i: log sum_m w_m p^m_i for
    forward, and sum_m w_m log p^m_i for reverse.
    """
    pooled = log_probs.clamp(min=MIN_LOG_PROBABILITY).contiguous()
    total = torch.ones(len(pooled), dtype=torch.float64, device=pooled.device)

    def add(before: Tensor, log_p: Tensor, weight: float) -> Tensor:
        # `before` is a copy of some rows, and may be overwritten
        log_p = log_p.clamp(min=MIN_LOG_PROBABILITY).to(before)
        if divergence == "reverse":
            return before.add_(log_p, alpha=weight)
        return torch.logaddexp(before, log_p.add_(math.log(weight)), out=before)

    for one in opinions:
        if one.has_dustbin:
            at = entries(one, pooled)
            put(pooled, at, add(take(pooled, at), one.log_probs[:, :-1], one.weight))
        else:
            # its classes may be in any order, and argsort brings them into that of the generalist
            rows = add(pooled.index_select(0, one.rows), one.log_probs[:, one.classes.argsort()], one.weight)
            pooled.index_copy_(0, one.rows, rows)
            total[one.rows] += one.weight
    return pooled, total
