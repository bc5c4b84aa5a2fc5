"""Metrics that count rare classes as much as common ones: balanced error, macro F1 and average precision."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.analysis.linearised import NORMAL_QUANTILE, Linearised

TIE_DIGITS = 5
"""Decimal places of log-odds; scores that differ by less are ties, because float32 logits are not more exact."""

Counts = NDArray[np.int64]


def balanced_error(answers: Tensor, labels: Tensor) -> Linearised:
    """Return the mean over classes of the share of their examples that are wrong.

    e = (1/C) sum_c e_c with e_c = wrong_c / n_c, over the classes that have examples.

    Args:
        answers: predicted classes, int64 `[examples]`.
        labels: known labels, int64 `[examples]`.

    >>> balanced_error(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1])).value
    0.5
    """
    wrong, mine = (answers != labels).numpy(), labels.numpy()
    samples, errors = np.bincount(mine), np.bincount(mine, weights=wrong)
    shares = errors / np.maximum(samples, 1)
    classes = int((samples > 0).sum())
    return Linearised(float(shares.sum() / classes), (wrong - shares[mine]) / (classes * samples[mine]))


def balanced_error_interval(errors: Counts, samples: Counts) -> tuple[float, float]:
    """Return the 95% interval of a balanced error from the intervals of Wilson of each class.

    e -/+ sqrt(sum_c ((e_c - l_c) / C)^2), and with u_c - e_c above. So a class with few samples widens it even if all
    of them are right.

    Source: Zou and Donner 2008, "Construction of confidence limits about effect measures", equation 2 (MOVER).

    Args:
        errors: wrong predictions of each class, `[classes]`.
        samples: samples of each class, `[classes]`; classes without any are left out.

    >>> low, high = balanced_error_interval(np.array([10, 0]), np.array([100, 4]))
    >>> round(low, 3), round(high, 3)
    (0.028, 0.298)
    """
    wrong, count = errors[samples > 0].astype(float), samples[samples > 0].astype(float)
    square = NORMAL_QUANTILE**2
    # the formula of Wilson for all classes at once, because scipy takes one at a time
    centre = (wrong + square / 2) / (count + square)
    half = NORMAL_QUANTILE / (count + square) * np.sqrt(wrong * (count - wrong) / count + square / 4)
    shares = wrong / count
    below, above = (float(np.linalg.norm(end - shares)) / len(shares) for end in (centre - half, centre + half))
    mean = float(shares.mean())
    return max(0.0, mean - below), min(1.0, mean + above)


def macro_f1(answers: Tensor, labels: Tensor) -> Linearised:
    """Return the mean over classes of F1, the harmonic mean of precision and recall.

    F_c = 2 right_c / (predicted_c + true_c), over the classes that are predicted or are the label of any example.

    Source: Takahashi et al. 2022, "Confidence interval for micro-averaged F1 and macro-averaged F1 scores".

    Args:
        answers: predicted classes, int64 `[examples]`.
        labels: known labels, int64 `[examples]`.

    >>> round(macro_f1(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])).value, 4)
    0.6667
    """
    theirs, mine = answers.numpy(), labels.numpy()
    size = int(max(theirs.max(), mine.max())) + 1
    right = theirs == mine
    totals = np.bincount(theirs, minlength=size) + np.bincount(mine, minlength=size)
    scores = 2 * np.bincount(mine[right], minlength=size) / np.maximum(totals, 1)
    classes = int((totals > 0).sum())
    # a right example adds 2 to the numerator of its class; each adds 1 to the denominators of label and prediction
    slopes = scores / np.maximum(totals, 1)
    moved = 2 * right / totals[mine] - slopes[mine] - slopes[theirs]
    return Linearised(float(scores.sum() / classes), moved / classes)


def log_odds(logits: Tensor) -> Tensor:
    """Return log(p_c / (1 - p_c)) of each class, float32 `[examples, classes]`, rounded to 5 decimal places.

    Probabilities near 1 would all round to 1, and their order would be lost.

    >>> [round(value, 4) for value in log_odds(torch.tensor([[0.0, 2.0, -30.0]]))[0].tolist()]
    [-2.0, 2.0, -32.1269]
    """
    z = logits.double()
    largest = z.argmax(1, keepdim=True)
    # 1 - p_c loses all digits for the largest class alone, so the others are summed without it
    rest = z.scatter(1, largest, -torch.inf).logsumexp(1, keepdim=True)
    probability = z.softmax(1).scatter(1, largest, 0.0)
    others = z.logsumexp(1, keepdim=True) + torch.log1p(-probability)
    return (z - others.scatter(1, largest, rest)).round(decimals=TIE_DIGITS).float()


def average_precision(odds: Tensor, labels: Tensor) -> Linearised:
    """Return the mean over classes of average precision, the area under the curve of precision over recall.

    AP_c = (1/n_c) sum_i precision_c(s_i) over the examples i of class c, with precision_c(s) the share of class c among
    the examples whose score of c is at least s; over the classes that have examples.

    Args:
        odds: score of each class, `[examples, classes]`; equal scores are ties.
        labels: known labels, int64 `[examples]`.

    >>> average_precision(torch.tensor([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]]), torch.tensor([0, 1, 0])).value
    0.6666666666666666
    """
    scores, mine = odds.numpy(), labels.numpy()
    present = np.unique(mine)
    values, influences = np.zeros(len(present)), np.zeros(len(mine))
    for place, number in enumerate(present):
        found = _average_precision_of_one(scores[:, number], mine == number)
        values[place] = found.value
        influences += found.influences / len(present)
    return Linearised(float(values.mean()), influences)


def _average_precision_of_one(scores: NDArray[np.float32], is_positive: NDArray[np.bool_]) -> Linearised:
    order = np.argsort(-scores, kind="stable")
    sorted_scores, positive = scores[order], is_positive[order].astype(float)
    # the last place of each run of ties: all of them are above the threshold, or none is
    ends = np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))
    last = np.repeat(ends, np.diff(ends, prepend=-1))
    above, count = (last + 1).astype(float), positive.sum()
    precision = np.cumsum(positive)[last] / above
    value = float((positive * precision).sum() / count)
    # an example is among those above the threshold of every positive example whose score is not higher
    first = np.repeat(np.append(0, ends[:-1] + 1), np.diff(ends, prepend=-1))

    def from_here(terms: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.cumsum(terms[::-1])[::-1]
        return np.asarray(sums[first])

    gained = positive * (precision - value + from_here(positive / above))
    influences = np.empty_like(gained)
    influences[order] = (gained - from_here(positive * precision / above)) / count
    return Linearised(value, influences)


def label_ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many classes are predicted before the label, int64 `[examples]`; the first of equal ones comes first.

    >>> label_ranks(torch.tensor([[0.0, 3.0, 1.0], [2.0, 2.0, 2.0]]), torch.tensor([2, 1])).tolist()
    [1, 1]
    """
    label = labels.clamp(min=0)[:, None]  # an unlabelled example has a rank that nobody reads
    mine = logits.gather(1, label)
    is_earlier = torch.arange(logits.shape[1], device=logits.device) < label
    return ((logits > mine) | ((logits == mine) & is_earlier)).sum(1)
