"""Cross-entropies of many classes on an accelerator: formulas that torch's compiler makes into a few kernels.

`many_classes` has the plain form, and the meaning. What is compiled takes any number of examples and classes, because
the last tile of a batch is smaller than the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from instar.compute.compiler import has_compiler


def is_fused(logits: Tensor) -> bool:
    """Whether logits are on an accelerator that code can be compiled for."""
    return logits.device.type != "cpu" and has_compiler(logits.device.type)


def dense(logits: Tensor, p: Tensor, temperature: float, *, is_wanted: bool) -> tuple[Tensor, Tensor | None]:
    """Return H and dH/dz of targets of all classes."""
    found, gradient = _compiled(_dense)(logits, p, _number(temperature, logits))
    return found, gradient if is_wanted else None


def sparse(
    logits: Tensor, ids: Tensor, kept: Tensor, temperature: float, *, is_wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """Return H and dH/dz of targets of a few classes, with a bucket or drawn."""
    of_kind = _with_bucket if kept.shape[1] > ids.shape[1] else _drawn
    found, gradient = _compiled(of_kind)(logits, ids, kept, _number(temperature, logits))
    return found, gradient if is_wanted else None


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True)


def _number(temperature: float, logits: Tensor) -> Tensor:
    """Return the temperature as a tensor: of a number every value would be compiled by itself."""
    return torch.full((), temperature, dtype=logits.dtype, device=logits.device)


def _dense(logits: Tensor, p: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    # -inf times a share of 0 would be NaN
    u = (u - u.amax(1, keepdim=True)).clamp(min=torch.finfo(u.dtype).min)
    mass, log_sum = p.sum(1, keepdim=True), u.logsumexp(1, keepdim=True)
    found = mass * log_sum - (p * u).sum(1, keepdim=True)
    return found.squeeze(1), (mass * (u - log_sum).exp() - p) / temperature


def _with_bucket(logits: Tensor, ids: Tensor, kept: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    others = u.scatter(1, ids, torch.finfo(u.dtype).min)
    rest = others.logsumexp(1, keepdim=True)
    log_q = torch.cat([u.gather(1, ids), rest], 1).log_softmax(1)
    of_buckets = (log_q.exp() - kept) / temperature
    gradient = ((others - rest).exp() * of_buckets[:, -1:]).scatter(1, ids, of_buckets[:, :-1])
    return -(kept * log_q).sum(1), gradient


def _drawn(logits: Tensor, ids: Tensor, kept: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    u = logits / temperature
    log_sum = u.logsumexp(1, keepdim=True)
    gradient = ((u - log_sum).exp() / temperature).scatter_add(1, ids, -kept / temperature)
    return -(kept * (u.gather(1, ids) - log_sum)).sum(1), gradient
