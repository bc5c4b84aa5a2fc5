"""How sure a number is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def wilson_interval(errors: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the error rate behind `errors` wrong of `samples` (Wilson 1927).

    >>> tuple(round(bound, 4) for bound in wilson_interval(67, 10_000))
    (0.0053, 0.0085)
    """
    from scipy.stats import binomtest

    interval = binomtest(errors, samples).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def paired_interval(
    ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return (mean, low, high) of theirs - ours over pairs that share a seed, by Student's t.

    Above zero, ours is smaller: fewer errors.

    Args:
        ours: one number per seed.
        theirs: one number per seed, in the same order.
        confidence: of the interval.

    Raises:
        ValueError: when there are fewer than two pairs, or lengths differ.

    >>> mean, low, high = paired_interval([1, 2, 3], [3, 4, 6])
    >>> round(mean, 2), low > 0
    (2.33, True)
    """
    from scipy.stats import ttest_rel

    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"pairs need two or more seeds on both sides, got {len(ours)} and {len(theirs)}.")
    differences = np.asarray(theirs, dtype=float) - np.asarray(ours, dtype=float)
    rounding = 8 * np.finfo(float).eps * np.abs([ours, theirs]).max()
    if np.ptp(differences) <= rounding:  # no spread, as 0.3 - 0.2 has none beside 0.2 - 0.1: the interval is a point
        return (float(differences[0]),) * 3
    interval = ttest_rel(theirs, ours).confidence_interval(confidence)
    return float(differences.mean()), float(interval.low), float(interval.high)
