"""Cross-entropies of many classes with their gradients. The gradient is the only tensor in the size of the logits.

The forward pass computes the gradient, because it computes every exponential anyway. A CPU works on tiles of rows that
stay in its cache. For an accelerator, torch's compiler turns each formula into a few kernels. They take any number of
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
"""Function from logits and targets to H, `[examples]`, and, if it is wanted, dH/dz, `[examples, classes]`."""


def softened(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return p = softmax(v / T), `[examples, classes]`, and its entropy in nats, `[examples]`.

    With u = v / T - max(v / T), the entropy is log sum exp(u) - sum p u. A shift of v does not change it.

    >>> p, entropy = softened(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), 1.0)
    >>> entropy
    tensor([0.6931, 0.0000])
    """
    p = torch.empty_like(logits)
    scratch, entropies = _scratch(logits), []
    for rows in _tiles(logits):
        # u stays in the scratch tile, because softmax overwrites its copy in p
        tile = _scaled(logits[rows], temperature, scratch[: len(p[rows])])
        log_sum = _softmax_(p[rows].copy_(tile))
        entropies.append(log_sum - tile.mul_(p[rows]).sum(1, keepdim=True))
    return p, torch.cat(entropies).squeeze(1)


def dense(logits: Tensor, p: Tensor, temperature: float) -> Tensor:
    """Return H with targets of all classes, `[examples]`; see `cross_entropy.dense_cross_entropy`."""
    find: FindLoss = partial(_find_compiled, _dense_formula) if is_compiled(logits) else _find_dense
    found: Tensor = _WithGradient.apply(partial(find, temperature=temperature), logits, p)  # type: ignore[no-untyped-call]  # torch gives it no types
    return found


def sparse(logits: Tensor, ids: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """Return H with targets of a few classes, `[examples]`; see `cross_entropy.sparse_cross_entropy`."""
    formula = _bucket_formula if kept.shape[1] > ids.shape[1] else _drawn_formula
    find: FindLoss = partial(_find_compiled, formula) if is_compiled(logits) else _find_sparse
    found: Tensor = _WithGradient.apply(partial(find, temperature=temperature), logits, ids, kept)  # type: ignore[no-untyped-call]  # as above
    return found


def is_compiled(logits: Tensor) -> bool:
    """Return whether logits are on an accelerator that code can be compiled for."""
    return logits.device.type != "cpu" and has_compiler(logits.device.type)


# `objectives/tiles.py` has the other autograd function with a gradient from its forward pass. That one covers a whole
# objective, may work without ever holding all logits, and cannot compute its gradient again. This one covers one
# cross-entropy, whose logits autograd keeps: it may give its gradient away, and compute it once more.
class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, find: FindLoss, logits: Tensor, *targets: Tensor) -> Tensor:
        """Return H, `[examples]`."""
        # no saved tensor, so that backward may overwrite it: it belongs to nobody else
        losses, ctx.gradient = find(logits, *targets, is_wanted=ctx.needs_input_grad[1])
        ctx.save_for_backward(logits, *targets)
        ctx.find = find
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient for the logits; `weight` is that of each loss, `[examples]`."""
        gradient, ctx.gradient = ctx.gradient, None
        logits, *targets = ctx.saved_tensors
        if gradient is None:  # a second backward pass, with retain_graph
            _, gradient = ctx.find(logits, *targets, is_wanted=True)
        return None, gradient.mul_(weight[:, None]), *(None for _ in targets)


def _find_dense(logits: Tensor, p: Tensor, temperature: float, *, is_wanted: bool) -> tuple[Tensor, Tensor | None]:
    # the mass is 1 up to rounding; with it H and its gradient equal those of few classes to the last digit
    gradient, scratch, mass, losses = _allocate(logits, is_wanted), _scratch(logits), p.sum(1, keepdim=True), []
    for rows in _tiles(logits):
        tile = _scaled(logits[rows], temperature, _tile_of(gradient, rows, logits))  # u
        dot = torch.mul(tile, p[rows], out=scratch[: len(tile)]).sum(1, keepdim=True)
        # H = m log sum exp(u) - sum p u; the tile is q from here on
        losses.append(mass[rows] * _softmax_(tile) - dot)
        if is_wanted:  # dH/dz = (m q - p) / T, in the memory of q
            tile.mul_(mass[rows] / temperature).sub_(p[rows], alpha=1 / temperature)
    return torch.cat(losses).squeeze(1), gradient if is_wanted else None


def _find_sparse(
    logits: Tensor, ids: Tensor, kept: Tensor, temperature: float, *, is_wanted: bool
) -> tuple[Tensor, Tensor | None]:
    gradient, losses = _allocate(logits, is_wanted), []
    has_bucket = kept.shape[1] > ids.shape[1]
    for rows in _tiles(logits):
        tile = torch.div(logits[rows], temperature, out=_tile_of(gradient, rows, logits))
        of, p = ids[rows], kept[rows]
        chosen = tile.gather(1, of)  # [examples, k], read before the next line overwrites them
        if has_bucket:
            tile.scatter_(1, of, smallest_logit(tile))
        # log sum exp of the rest, or of all classes without a bucket, [examples, 1]
        rest = _softmax_(tile)
        log_q = torch.cat([chosen, rest], 1).log_softmax(1) if has_bucket else chosen - rest
        losses.append((p * log_q).sum(1).neg_())
        if is_wanted and has_bucket:
            of_buckets = log_q.exp_().sub_(p).div_(temperature)  # (Q - P) / T, [examples, k + 1]
            # the tile is softmax_rest(u), which is 0 for the classes that are then filled in
            tile.mul_(of_buckets[:, -1:]).scatter_(1, of, of_buckets[:, :-1])
        elif is_wanted:  # added, because a class may be drawn twice
            tile.div_(temperature).scatter_add_(1, of, p / -temperature)
    return torch.cat(losses), gradient if is_wanted else None


def _softmax_(logits: Tensor) -> Tensor:
    """Replace z by softmax(z), and return log sum exp(z), `[examples, 1]`."""
    highest = logits.amax(1, keepdim=True)
    torch.softmax(logits, 1, out=logits)
    # log sum exp(z) = z_j - log softmax(z)_j for any j. The likeliest j loses no digits, because its share is at least
    # 1 / C; a logsumexp would compute all exponentials a second time
    return highest - logits.amax(1, keepdim=True).log_()


def _scaled(logits: Tensor, temperature: float, out: Tensor) -> Tensor:
    """Write u = z / T - max(z / T) of each row to `out`."""
    torch.div(logits, temperature, out=out)
    # -inf times a share of 0 would be NaN
    return out.sub_(out.amax(1, keepdim=True)).clamp_(min=smallest_logit(out))


def smallest_logit(logits: Tensor) -> float:
    """Return the logit that stands for a probability of 0; with -inf, a softmax over only such classes is NaN."""
    return torch.finfo(logits.dtype).min


def _tiles(logits: Tensor) -> list[slice]:
    return tiles_of(logits, _tile_rows(logits))


def _tile_rows(logits: Tensor) -> int:
    # an accelerator has no cache to stay in, and is fastest with all rows at once
    return cached_tile_rows(logits) if logits.device.type == "cpu" else len(logits)


def _scratch(logits: Tensor) -> Tensor:
    return logits.new_empty(min(_tile_rows(logits), len(logits)), logits.shape[1])


def _allocate(logits: Tensor, is_wanted: bool) -> Tensor:
    # u and q are computed in the memory of the gradient; without a gradient, one tile is enough
    return torch.empty_like(logits) if is_wanted else _scratch(logits)


def _tile_of(allocated: Tensor, rows: slice, logits: Tensor) -> Tensor:
    return allocated[rows] if len(allocated) == len(logits) else allocated[: len(logits[rows])]


def _find_compiled(
    formula: Callable[..., Any], logits: Tensor, *targets: Tensor, temperature: float, is_wanted: bool
) -> tuple[Tensor, Tensor | None]:
    # a Python number would be a constant of the compiled code, which each temperature would then compile again
    t = torch.full((), temperature, dtype=logits.dtype, device=logits.device)
    losses, gradient = _compiled(formula)(logits, *targets, t)
    return losses, gradient if is_wanted else None


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # dynamic, because the last batch and the last tile have sizes of their own
    return torch.compile(function, dynamic=True)


# The formulas are those of `_find_dense` and `_find_sparse` without memory of their own: the compiler fuses each into a
# few kernels, so intermediate results need not be overwritten by hand.


def _dense_formula(logits: Tensor, p: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    # -inf times a share of 0 would be NaN
    u = (u - u.amax(1, keepdim=True)).clamp(min=torch.finfo(u.dtype).min)
    mass, log_sum = p.sum(1, keepdim=True), u.logsumexp(1, keepdim=True)
    losses = mass * log_sum - (p * u).sum(1, keepdim=True)
    return losses.squeeze(1), (mass * (u - log_sum).exp() - p) / temperature


def _bucket_formula(logits: Tensor, ids: Tensor, kept: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    others = u.scatter(1, ids, torch.finfo(u.dtype).min)
    rest = others.logsumexp(1, keepdim=True)  # a, the logit of the bucket
    log_q = torch.cat([u.gather(1, ids), rest], 1).log_softmax(1)  # log Q, [examples, k + 1]
    of_buckets = (log_q.exp() - kept) / temperature
    # exp(others - rest) is softmax_rest(u)
    gradient = ((others - rest).exp() * of_buckets[:, -1:]).scatter(1, ids, of_buckets[:, :-1])
    return -(kept * log_q).sum(1), gradient


def _drawn_formula(logits: Tensor, ids: Tensor, kept: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    log_sum = u.logsumexp(1, keepdim=True)
    # added, because a class may be drawn twice
    gradient = ((u - log_sum).exp() / temperature).scatter_add(1, ids, -kept / temperature)
    return -(kept * (u.gather(1, ids) - log_sum)).sum(1), gradient
