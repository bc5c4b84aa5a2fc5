"""Cross-entropies of many classes, each with its gradient, and with no tensor like the logits but that one.

The gradient is made in the forward pass, which has to find every exponential anyway. A CPU works on tiles of rows that
stay in its cache. For an accelerator torch's compiler makes each formula into a few kernels, which take any number of
examples and classes, because the last tile of a batch is smaller than the others. `cross_entropy` derives the formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from instar.compute.compiler import has_compiler
from instar.compute.tiling import cached_tile_rows, tiles_of

FindLoss = Callable[..., tuple[Tensor, Tensor | None]]
"""Returns H `[examples]` and, where it is wanted, dH/dz, from logits and what the teacher says."""


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
    """Return H with targets of all classes, `[examples]`; see `cross_entropy.dense_cross_entropy`."""
    find = _find_dense_compiled if is_compiled(logits) else _find_dense
    found: Tensor = _WithGradient.apply(partial(find, temperature=temperature), logits, p)  # type: ignore[no-untyped-call]  # torch gives it no types
    return found


def sparse(logits: Tensor, ids: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """Return H with targets of a few classes, `[examples]`; see `cross_entropy.sparse_cross_entropy`."""
    find = _find_sparse_compiled if is_compiled(logits) else _find_sparse
    found: Tensor = _WithGradient.apply(partial(find, temperature=temperature), logits, ids, kept)  # type: ignore[no-untyped-call]  # as above
    return found


def is_compiled(logits: Tensor) -> bool:
    """Return whether logits are on an accelerator that code can be compiled for."""
    return logits.device.type != "cpu" and has_compiler(logits.device.type)


class _WithGradient(torch.autograd.Function):
    """H `[examples]`, with a gradient for the logits that is found in the same pass."""

    @staticmethod
    def forward(ctx: Any, find: FindLoss, logits: Tensor, *targets: Tensor) -> Tensor:
        """Return H."""
        found, ctx.gradient = find(logits, *targets, is_wanted=ctx.needs_input_grad[1])
        ctx.save_for_backward(logits, *targets)
        ctx.find = find
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient for the logits."""
        gradient, ctx.gradient = ctx.gradient, None
        logits, *targets = ctx.saved_tensors
        if gradient is None:  # asked for once more
            _, gradient = ctx.find(logits, *targets, is_wanted=True)
        return None, gradient.mul_(weight[:, None]), *(None for _ in targets)


def _find_dense(logits: Tensor, p: Tensor, temperature: float, *, is_wanted: bool) -> tuple[Tensor, Tensor | None]:
    # the mass is 1 up to rounding, and counted so that H and its gradient are those of few classes to the last digit
    gradient, scratch, mass, found = _room(logits, is_wanted), _scratch(logits), p.sum(1, keepdim=True), []
    for rows in _tiles(logits):
        tile = _scaled(logits[rows], temperature, _part(gradient, rows, logits))
        dot = torch.mul(tile, p[rows], out=scratch[: len(tile)]).sum(1, keepdim=True)
        found.append(mass[rows] * _softmax_(tile) - dot)
        if is_wanted:
            tile.mul_(mass[rows] / temperature).sub_(p[rows], alpha=1 / temperature)
    return torch.cat(found).squeeze(1), gradient if is_wanted else None


def _find_sparse(
    logits: Tensor, ids: Tensor, kept: Tensor, temperature: float, *, is_wanted: bool
) -> tuple[Tensor, Tensor | None]:
    gradient, found = _room(logits, is_wanted), []
    has_bucket = kept.shape[1] > ids.shape[1]
    for rows in _tiles(logits):
        tile = torch.div(logits[rows], temperature, out=_part(gradient, rows, logits))
        of, p = ids[rows], kept[rows]
        chosen = tile.gather(1, of)
        if has_bucket:
            tile.scatter_(1, of, smallest_logit(tile))
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
    return out.sub_(out.amax(1, keepdim=True)).clamp_(min=smallest_logit(out))


def smallest_logit(logits: Tensor) -> float:
    """Return the logit of a class without a share; with -inf the softmax of a rest of such classes would be NaN."""
    return torch.finfo(logits.dtype).min


def _tiles(logits: Tensor) -> list[slice]:
    return tiles_of(logits, _tile_rows(logits))


def _tile_rows(logits: Tensor) -> int:
    # an accelerator has no use for less than all
    return cached_tile_rows(logits) if logits.device.type == "cpu" else len(logits)


def _scratch(logits: Tensor) -> Tensor:
    """Return room for a tile."""
    return logits.new_empty(min(_tile_rows(logits), len(logits)), logits.shape[1])


def _room(logits: Tensor, is_wanted: bool) -> Tensor:
    """Return room for what becomes the gradient, or where none is asked for, for a tile."""
    return torch.empty_like(logits) if is_wanted else _scratch(logits)


def _part(room: Tensor, rows: slice, logits: Tensor) -> Tensor:
    """Return the room of a tile."""
    return room[rows] if len(room) == len(logits) else room[: len(logits[rows])]


def _find_dense_compiled(
    logits: Tensor, p: Tensor, temperature: float, *, is_wanted: bool
) -> tuple[Tensor, Tensor | None]:
    found, gradient = _compiled(_dense_formula)(logits, p, _number(temperature, logits))
    return found, gradient if is_wanted else None


def _find_sparse_compiled(
    logits: Tensor, ids: Tensor, kept: Tensor, temperature: float, *, is_wanted: bool
) -> tuple[Tensor, Tensor | None]:
    formula = _bucket_formula if kept.shape[1] > ids.shape[1] else _drawn_formula
    found, gradient = _compiled(formula)(logits, ids, kept, _number(temperature, logits))
    return found, gradient if is_wanted else None


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True)


def _number(temperature: float, logits: Tensor) -> Tensor:
    """Return the temperature as a tensor: of a number every value would be compiled by itself."""
    return torch.full((), temperature, dtype=logits.dtype, device=logits.device)


def _dense_formula(logits: Tensor, p: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    # -inf times a share of 0 would be NaN
    u = (u - u.amax(1, keepdim=True)).clamp(min=torch.finfo(u.dtype).min)
    mass, log_sum = p.sum(1, keepdim=True), u.logsumexp(1, keepdim=True)
    found = mass * log_sum - (p * u).sum(1, keepdim=True)
    return found.squeeze(1), (mass * (u - log_sum).exp() - p) / temperature


def _bucket_formula(logits: Tensor, ids: Tensor, kept: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    others = u.scatter(1, ids, torch.finfo(u.dtype).min)
    rest = others.logsumexp(1, keepdim=True)
    log_q = torch.cat([u.gather(1, ids), rest], 1).log_softmax(1)
    of_buckets = (log_q.exp() - kept) / temperature
    gradient = ((others - rest).exp() * of_buckets[:, -1:]).scatter(1, ids, of_buckets[:, :-1])
    return -(kept * log_q).sum(1), gradient


def _drawn_formula(logits: Tensor, ids: Tensor, kept: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    log_sum = u.logsumexp(1, keepdim=True)
    gradient = ((u - log_sum).exp() / temperature).scatter_add(1, ids, -kept / temperature)
    return -(kept * (u.gather(1, ids) - log_sum)).sum(1), gradient
