"""Cross-entropies of many classes: in tiles of rows that stay in the cache, with no tensor like the logits but one.

That one is the gradient. It is made in the forward pass, which has to find every exponential anyway. On an accelerator
with a compiler `fused` does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from instar.targets import fused

TILE = 2 << 20
"""Bytes of logits that are worked on at once by a CPU: in the cache, and below what the allocator gives back."""

Make = Callable[..., tuple[Tensor, Tensor | None]]
"""Returns H `[examples]` and, where it is wanted, dH/dz, from logits and what the teacher says."""


def is_large(logits: Tensor) -> bool:
    """Whether logits are more than a tile. Below, fewer kernels are worth more than fewer passes."""
    return logits.numel() * logits.element_size() > TILE


def softened(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return p = softmax(v / T), `[examples, classes]`, and its entropy in nats, `[examples]`.

    With u = v / T less the largest of its row, the entropy is log sum exp(u) - sum p u, which no shift of v changes.

    >>> p, entropy = softened(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), 1.0)
    >>> entropy
    tensor([0.6931, 0.0000])
    """
    p = torch.empty_like(logits)
    scratch, found = _scratch(logits), []
    for rows in _tiles(logits):
        tile = _scaled(logits[rows], temperature, scratch[: len(p[rows])])
        mass = _softmax_(p[rows].copy_(tile))
        found.append(mass - tile.mul_(p[rows]).sum(1, keepdim=True))
    return p, torch.cat(found).squeeze(1)


def dense(logits: Tensor, p: Tensor, temperature: float) -> Tensor:
    """Return -sum_c p_c log softmax(z / T)_c, `[examples]`, of logits z and probabilities p `[examples, classes]`."""
    make = partial(fused.dense if fused.is_fused(logits) else _dense, temperature=temperature)
    found: Tensor = _WithGradient.apply(make, logits, p)  # type: ignore[no-untyped-call]  # torch gives it no types
    return found


def sparse(logits: Tensor, ids: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy with targets of a few classes, `[examples]`, as `SparseTargets` has it.

    Args:
        logits: `[examples, classes]`.
        ids: of the classes, `[examples, k]`.
        kept: their probabilities, `[examples, k]`, or `[examples, k + 1]` with the bucket behind them.
        temperature: T.
    """
    make = partial(fused.sparse if fused.is_fused(logits) else _sparse, temperature=temperature)
    found: Tensor = _WithGradient.apply(make, logits, ids, kept)  # type: ignore[no-untyped-call]  # as above
    return found


class _WithGradient(torch.autograd.Function):
    """H `[examples]`, with a gradient for the logits that is found in the same pass."""

    @staticmethod
    def forward(ctx: Any, make: Make, logits: Tensor, *targets: Tensor) -> Tensor:
        """Return H."""
        found, ctx.gradient = make(logits, *targets, is_wanted=ctx.needs_input_grad[1])
        ctx.save_for_backward(logits, *targets)
        ctx.make = make
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient for the logits."""
        gradient, ctx.gradient = ctx.gradient, None
        logits, *targets = ctx.saved_tensors
        if gradient is None:  # asked for once more
            _, gradient = ctx.make(logits, *targets, is_wanted=True)
        return None, gradient.mul_(weight[:, None]), *(None for _ in targets)


def _dense(logits: Tensor, p: Tensor, temperature: float, *, is_wanted: bool) -> tuple[Tensor, Tensor | None]:
    """Return H and dH/dz, with u = z / T less the largest of its row and m = sum p.

    H = m log sum exp(u) - sum p u, and T dH/dz = m softmax(u) - p. m is 1 up to rounding, and counted so that both are
    the plain forms to the last digit.
    """
    gradient, scratch, mass, found = _room(logits, is_wanted), _scratch(logits), p.sum(1, keepdim=True), []
    for rows in _tiles(logits):
        tile = _scaled(logits[rows], temperature, _part(gradient, rows, logits))
        dot = torch.mul(tile, p[rows], out=scratch[: len(tile)]).sum(1, keepdim=True)
        found.append(mass[rows] * _softmax_(tile) - dot)
        if is_wanted:
            tile.mul_(mass[rows] / temperature).sub_(p[rows], alpha=1 / temperature)
    return torch.cat(found).squeeze(1), gradient if is_wanted else None


def _sparse(
    logits: Tensor, ids: Tensor, kept: Tensor, temperature: float, *, is_wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the cross-entropy H with targets of a few classes S, and dH/dz.

    With a bucket, let a be the logsumexp of z / T over the rest, and Q = softmax(z_S / T, a) over k + 1 buckets:

        H = -sum_b P_b log Q_b
        T dH/dz_i = Q_i - P_i                                 for i in S
        T dH/dz_c = (Q_rest - P_rest) softmax_rest(z / T)_c   for the others

    Without a bucket nothing is left out of the rest: T dH/dz_c = q_c - sum over the draws of c of p_i.
    """
    gradient, found = _room(logits, is_wanted), []
    has_bucket = kept.shape[1] > ids.shape[1]
    for rows in _tiles(logits):
        tile = torch.div(logits[rows], temperature, out=_part(gradient, rows, logits))
        of, p = ids[rows], kept[rows]
        chosen = tile.gather(1, of)
        if has_bucket:
            tile.scatter_(1, of, nothing(tile))
        rest = _softmax_(tile)
        log_q = torch.cat([chosen, rest], 1).log_softmax(1) if has_bucket else chosen - rest
        found.append((p * log_q).sum(1).neg_())
        if is_wanted and has_bucket:
            of_buckets = log_q.exp_().sub_(p).div_(temperature)
            tile.mul_(of_buckets[:, -1:]).scatter_(1, of, of_buckets[:, :-1])
        elif is_wanted:  # added, because a class that was drawn twice stands twice
            tile.div_(temperature).scatter_add_(1, of, p / -temperature)
    return torch.cat(found), gradient if is_wanted else None


def _softmax_(logits: Tensor) -> Tensor:
    """Make softmax(z) of z in its place, and return log sum exp(z), `[examples, 1]`.

    Of the likeliest class j it is z_j - log softmax(z)_j, which spares a second pass of exponentials.
    """
    highest = logits.amax(1, keepdim=True)
    torch.softmax(logits, 1, out=logits)
    return highest - logits.amax(1, keepdim=True).log_()


def _scaled(logits: Tensor, temperature: float, out: Tensor) -> Tensor:
    """Return z / T less the largest of its row, made in `out`."""
    torch.div(logits, temperature, out=out)
    # -inf times a share of 0 would be NaN
    return out.sub_(out.amax(1, keepdim=True)).clamp_(min=nothing(out))


def nothing(logits: Tensor) -> float:
    """Return a logit without a share; not -inf, because the softmax of a rest that is -inf alone would be NaN."""
    return torch.finfo(logits.dtype).min


def _tiles(logits: Tensor) -> list[slice]:
    """Return the rows that are worked on at once; an accelerator has no use for less than all."""
    number = _tile_rows(logits)
    return [slice(start, start + number) for start in range(0, len(logits), number)]


def _tile_rows(logits: Tensor) -> int:
    if logits.device.type != "cpu":
        return len(logits)
    return max(1, TILE // (logits.shape[1] * logits.element_size()))


def _scratch(logits: Tensor) -> Tensor:
    """Return room for a tile."""
    return logits.new_empty(min(_tile_rows(logits), len(logits)), logits.shape[1])


def _room(logits: Tensor, is_wanted: bool) -> Tensor:
    """Return room for what becomes the gradient, or where none is asked for, for a tile."""
    return torch.empty_like(logits) if is_wanted else _scratch(logits)


def _part(room: Tensor, rows: slice, logits: Tensor) -> Tensor:
    """Return the room of a tile."""
    return room[rows] if len(room) == len(logits) else room[: len(logits[rows])]
