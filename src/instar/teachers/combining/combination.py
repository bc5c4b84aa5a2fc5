"""One distribution over all classes from a generalist's and from those of specialists that know a few classes each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from instar.errors import ConfigError, MismatchError
from instar.teachers.combining.newton import forward, reverse
from instar.teachers.combining.opinion import MIN_LOG_PROBABILITY, Opinion, entries, put, take
from instar.teachers.combining.patterns import Patterns

Divergence = Literal["forward", "reverse"]


@torch.no_grad()
def combine_opinions(
    log_probs: Tensor, opinions: Sequence[Opinion], divergence: Divergence = "forward", weight: float = 1.0
) -> Tensor:
    """Return log q, `[samples, classes]`, of the q that is nearest to what a generalist and specialists say.

    D_m are the classes that specialist m does not know, and q^m is q on S_m with the sum of q over D_m. q minimises

        forward    w_g KL(p^g || q) + sum_m w_m KL(p^m || q^m)
        reverse    w_g KL(q || p^g) + sum_m w_m KL(q^m || p^m)

    over the specialists m that are asked about the sample: without dustbins the weighted arithmetic mean, and the
    normalised weighted geometric mean. Among the classes of one pattern, which are known to the same specialists, q has
    the proportions of the mean of those, so that only the sum of q over each pattern is solved for. A sample that no
    specialist is asked about keeps the generalist's row as it is.

    Source: Hinton et al. 2015, section 5.4; forward is its equation 5.

    Args:
        log_probs: the generalist's, `[samples, classes]`. Below -600 they count as -600, and those of specialists too.
        opinions: of specialists, in any order.
        divergence: "forward" or "reverse".
        weight: w_g, above 0.

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
    opinions = [replace(one, weight=one.weight / weight) for one in opinions]
    partial = [one for one in opinions if one.has_dustbin]
    patterns = Patterns(partial, len(log_probs), log_probs.shape[1], log_probs.device)
    pooled, total = _pooled(log_probs, opinions, divergence)
    dustbins, weights = patterns.dustbins(partial)
    heard = patterns.heard(total, weights)
    if divergence == "reverse":
        patterns.divide(pooled, partial, total, heard)
    mass, kept = patterns.masses(pooled, partial)
    shift = torch.empty_like(mass)
    for part in patterns.parts():
        said, weighs = dustbins[part.rows, : part.dustbins], weights[part.rows, : part.dustbins]
        if divergence == "forward":
            part.of(shift).copy_(forward(part.of(mass), part.inside, said, weighs))
        else:
            part.of(shift).copy_(reverse(part.of(mass), part.inside, said, weighs, part.of(heard)))
    patterns.subtract(pooled, partial, shift, kept)
    unasked = torch.ones(len(pooled), dtype=torch.bool, device=pooled.device)
    for one in opinions:
        unasked[one.rows] = False
    rows = unasked.nonzero().view(-1)
    pooled.index_copy_(0, rows, log_probs.index_select(0, rows))
    return pooled


def _refuse(opinion: Opinion, classes: int, weight: float) -> None:
    """Refuse what has no answer."""
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


def _pooled(log_probs: Tensor, opinions: Sequence[Opinion], divergence: Divergence) -> tuple[Tensor, Tensor]:
    """Return what those that know a class say of it, and the weights of those that know all classes, `[samples]`.

    forward: log sum_m w_m p^m_i, reverse: sum_m w_m log p^m_i, with the generalist, whose weight is 1.
    """
    pooled = log_probs.clamp(min=MIN_LOG_PROBABILITY).contiguous()
    total = torch.ones(len(pooled), dtype=torch.float64, device=pooled.device)

    def both(before: Tensor, said: Tensor, weight: float) -> Tensor:
        said = said.clamp(min=MIN_LOG_PROBABILITY).to(before)
        if divergence == "reverse":
            return before.add_(said, alpha=weight)
        return torch.logaddexp(before, said.add_(math.log(weight)), out=before)

    for one in opinions:
        if one.has_dustbin:
            at = entries(one, pooled)
            put(pooled, at, both(take(pooled, at), one.log_probs[:, :-1], one.weight))
        else:
            said = both(pooled.index_select(0, one.rows), one.log_probs[:, one.classes.argsort()], one.weight)
            pooled.index_copy_(0, one.rows, said)
            total[one.rows] += one.weight
    return pooled, total
