"""The cross-entropy of a student with its teacher, of all classes or of a few with a bucket for the rest.

With u = z / T of the student's logits z, q = softmax(u), and the teacher's p, all classes have

    H = -sum_c p_c log q_c = m log sum_c exp(u_c) - sum_c p_c u_c          m = sum_c p_c, which is 1 up to rounding
    T dH/dz_c = m q_c - p_c

A few classes S share one bucket for the rest. Let a be the logsumexp of u over the rest, Q = softmax(u_S, a), and P the
teacher's probabilities of the k classes and of the rest together:

    H = -sum_b P_b log Q_b
    T dH/dz_i = Q_i - P_i                                   for i in S
    T dH/dz_c = (Q_rest - P_rest) softmax_rest(u)_c         for the others

Everything is found over the rest itself, because 1 - sum q_i would lose all digits of a student that is sure. Classes
that were drawn have no bucket, and nothing is left out of the rest:

    H = sum_i p_i (log sum_c exp(u_c) - u_i)
    T dH/dz_c = q_c - sum over the draws of c of p_i

Few logits take the forms below, which torch differentiates, because fewer kernels are worth more than fewer passes.
Many logits take those of `many_classes`, which make the gradient together with H.
"""

from __future__ import annotations

import torch
from torch import Tensor

from instar.compute.tiling import exceeds_cached_tile
from instar.targets import many_classes
from instar.targets.many_classes import smallest_logit

MAX_TURNED_CLASSES = 15
"""Classes up to which a softmax is found faster across examples: rows as short as that do not fill a vector."""


def dense_cross_entropy(logits: Tensor, p: Tensor, temperature: float) -> Tensor:
    """Return H with targets of all classes, `[examples]`.

    Args:
        logits: z, `[examples, classes]`.
        p: the teacher's probabilities at T, `[examples, classes]`.
        temperature: T.
    """
    if exceeds_cached_tile(logits):
        return many_classes.dense(logits, p, temperature)
    return -(floored(torch.log_softmax(scaled(logits, temperature), 1)) * p).sum(1)


def sparse_cross_entropy(logits: Tensor, ids: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """Return H with targets of a few classes, `[examples]`.

    Args:
        logits: z, `[examples, classes]`.
        ids: S, or the classes that were drawn, `[examples, k]`.
        kept: their probabilities, `[examples, k]`, or `[examples, k + 1]` with that of the rest behind them.
        temperature: T.
    """
    if exceeds_cached_tile(logits):
        return many_classes.sparse(logits, ids, kept, temperature)
    u, smallest, axis = logits / temperature, smallest_logit(logits), 1
    if kept.shape[1] == ids.shape[1]:
        return u.logsumexp(1) - (kept * u.gather(1, ids)).sum(1)
    u.detach().clamp_(min=smallest)  # -inf of a padding class times its share of 0 would be NaN
    if logits.shape[1] <= MAX_TURNED_CLASSES:
        u, ids, kept, axis = u.t(), ids.t(), kept.t(), 0
    chosen, rest = kept.narrow(axis, 0, ids.shape[axis]), kept.narrow(axis, ids.shape[axis], 1)
    # H has the gradient of a cross-entropy with targets t that share P_rest out as the student does, held constant; and
    # because softmax_rest(u)_c = q_c / sum over the rest of q, it is the sum over c of
    # t_c (log softmax_rest(u)_c [c not in S] - log q_c)
    with torch.no_grad():
        outside = u.scatter(axis, ids, smallest)
        shared = outside.softmax(axis).mul_(rest).scatter_(axis, ids, chosen)
        of_rest = outside.log_softmax(axis).scatter_(axis, ids, 0.0)
    return (shared * (of_rest - u.log_softmax(axis))).sum(axis)


def scaled(logits: Tensor, temperature: float) -> Tensor:
    """Return z / T; at T = 1 the logits as they are, because of many classes every copy counts."""
    return logits if temperature == 1 else logits / temperature


def floored(log_q: Tensor) -> Tensor:
    """Return log-probabilities with the least number in the place of -inf: 0 log 0 is 0, and 0 times -inf is NaN.

    It is done in place and unseen by autograd: a backward pass needs exp(log q), which is 0 either way.

    >>> floored(torch.tensor([0.0, -torch.inf])).mul(torch.tensor([1.0, 0.0])).sum()
    tensor(0.)
    """
    log_q.data.clamp_(min=smallest_logit(log_q))
    return log_q
