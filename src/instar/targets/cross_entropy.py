"""Cross-entropy of a student with a teacher's targets: of all classes, or of a few with a bucket for the rest.

With u = z / T of the student's logits z, q = softmax(u), and the teacher's p, all classes have

    H = -sum_c p_c log q_c = m log sum_c exp(u_c) - sum_c p_c u_c          m = sum_c p_c, which is 1 up to rounding
    T dH/dz_c = m q_c - p_c

A few classes S share one bucket for the rest. Let a be the logsumexp of u over the rest, Q = softmax(u_S, a), and P the
teacher's probabilities of the k classes and of the rest together:

    H = -sum_b P_b log Q_b
    T dH/dz_i = Q_i - P_i                                   for i in S
    T dH/dz_c = (Q_rest - P_rest) softmax_rest(u)_c         for the others

The rest is summed over its own classes, because 1 - sum q_i loses all digits if the student is confident. Drawn classes
have no bucket, and their softmax is over all classes:

    H = sum_i p_i (log sum_c exp(u_c) - u_i)
    T dH/dz_c = q_c - sum over the draws of c of p_i

The functions below are for small logits: torch differentiates them, because fewer kernels matter more than fewer passes
there. Larger logits go to `many_classes`, which computes the gradient together with H.
"""

from __future__ import annotations

import torch
from torch import Tensor

from instar.compute.tiling import exceeds_cached_tile
from instar.targets import many_classes
from instar.targets.many_classes import smallest_logit

MAX_TRANSPOSED_CLASSES = 15
"""Number of classes up to which a softmax over columns is faster, because such short rows do not fill a vector."""


def dense_cross_entropy(logits: Tensor, p: Tensor, temperature: float) -> Tensor:
    """Return H with targets of all classes, `[examples]`.

    Args:
        logits: logits z of the student, `[examples, classes]`.
        p: probabilities of the teacher at T, `[examples, classes]`.
        temperature: temperature T.
    """
    if exceeds_cached_tile(logits):
        return many_classes.dense(logits, p, temperature)
    # torch's own kernels: with a one-hot p the gradient is that of a label to the last bit, and a hand-written
    # gradient was slower, because each step of Python costs ten microseconds between two matrix products
    return -(floored(torch.log_softmax(scaled(logits, temperature), 1)) * p).sum(1)


def sparse_cross_entropy(logits: Tensor, ids: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """Return H with targets of a few classes, `[examples]`.

    Args:
        logits: logits z of the student, `[examples, classes]`.
        ids: the classes S, or the drawn classes, `[examples, k]`.
        kept: their probabilities, `[examples, k]`; for a bucket `[examples, k + 1]`, with that of the rest last.
        temperature: temperature T.
    """
    if exceeds_cached_tile(logits):
        return many_classes.sparse(logits, ids, kept, temperature)
    # divided even at T = 1, because u is clamped in place below and the logits belong to the caller
    u, smallest, axis = logits / temperature, smallest_logit(logits), 1
    if kept.shape[1] == ids.shape[1]:
        return u.logsumexp(1) - (kept * u.gather(1, ids)).sum(1)
    # -inf of a padding class times its share of 0 would be NaN; detached, so that backward has no step for it
    u.detach().clamp_(min=smallest)
    if logits.shape[1] <= MAX_TRANSPOSED_CLASSES:
        u, ids, kept, axis = u.t(), ids.t(), kept.t(), 0
    chosen, rest = kept.narrow(axis, 0, ids.shape[axis]), kept.narrow(axis, ids.shape[axis], 1)
    # H has the gradient of a cross-entropy with targets t that share P_rest out as the student does, held constant; and
    # because softmax_rest(u)_c = q_c / sum over the rest of q, it is the sum over c of
    # t_c (log softmax_rest(u)_c [c not in S] - log q_c)
    with torch.no_grad():
        outside = u.scatter(axis, ids, smallest)
        # softmax rather than exp, which takes four times as long for numbers as small as `smallest`
        shared = outside.softmax(axis).mul_(rest).scatter_(axis, ids, chosen)
        of_rest = outside.log_softmax(axis).scatter_(axis, ids, 0.0)
    return (shared * (of_rest - u.log_softmax(axis))).sum(axis)


def scaled(logits: Tensor, temperature: float) -> Tensor:
    """Return z / T; at T = 1 the logits themselves, because a copy of many classes takes time and memory."""
    return logits if temperature == 1 else logits / temperature


def floored(log_q: Tensor) -> Tensor:
    """Replace -inf in log-probabilities by the smallest number, in place: 0 log 0 is 0, but 0 times -inf is NaN.

    >>> floored(torch.tensor([0.0, -torch.inf])).mul(torch.tensor([1.0, 0.0])).sum()
    tensor(0.)
    """
    # hidden from autograd: a backward pass reads exp(log q), which is 0 either way
    log_q.data.clamp_(min=smallest_logit(log_q))
    return log_q
