"""Confidence intervals and significance tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instar.analysis.resampling import sign_test

SIGNIFICANCE_LEVEL = 0.05
"""Level of significance of one test; several tests divide it by their number."""


def wilson_interval(errors: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of the error rate, with `errors` wrong of `samples` (Wilson 1927).

    >>> tuple(round(bound, 4) for bound in wilson_interval(67, 10_000))
    (0.0053, 0.0085)
    """
    from scipy.stats import binomtest

    interval = binomtest(errors, samples).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mean_interval(
    values: ArrayLike, confidence: float = 0.95, largest: float | None = None
) -> tuple[float, float, float]:
    """Return (mean, low, high) of two or more numbers by Student's t; low = mean = high if they have no spread.

    Args:
        values: two or more numbers.
        confidence: confidence level of the interval.
        largest: largest number that the values were computed from, whose rounding does not count as spread; None: the
            largest value.

    >>> tuple(round(value, 2) for value in mean_interval([1.0, 2.0, 3.0]))
    (2.0, -0.48, 4.48)
    """
    from scipy.stats import ttest_1samp

    numbers = np.asarray(values, dtype=float)
    # rounding of the differences of two numbers, with a margin of a few bits
    rounding = 8 * np.finfo(float).eps * (np.abs(numbers).max() if largest is None else largest)
    if np.ptp(numbers) <= rounding:  # such as 0.3 - 0.2 and 0.2 - 0.1
        return (float(numbers[0]),) * 3
    interval = ttest_1samp(numbers, 0.0).confidence_interval(confidence)
    return float(numbers.mean()), float(interval.low), float(interval.high)


def paired_interval(
    ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return (mean, low, high) of theirs - ours over pairs with the same seed, by Student's t.

    A positive difference means that ours is smaller, for example has fewer errors.

    Args:
        ours: one number per seed.
        theirs: one number per seed, in the same order.
        confidence: confidence level of the interval.

    Raises:
        ValueError: when there are fewer than two pairs, or the lengths differ.

    >>> mean, low, high = paired_interval([1, 2, 3], [3, 4, 6])
    >>> round(mean, 2), low > 0
    (2.33, True)
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"pairs need two or more seeds on both sides, got {len(ours)} and {len(theirs)}.")
    differences = np.asarray(theirs, dtype=float) - np.asarray(ours, dtype=float)
    # differences round like the numbers that they come from, which may be much larger
    return mean_interval(differences, confidence, float(np.abs([ours, theirs]).max()))


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return (ratio of the means, low, high) of pairs with the same seed (Fieller 1954).

    The interval has each r for which the mean of numerator - r * denominator may be 0 by Student's t. It is unbounded
    where the mean of the denominators may be 0.

    Args:
        numerators: one number per seed, such as the gains of a student.
        denominators: one number per seed, in the same order, such as the gains of its teacher.
        confidence: confidence level of the interval.

    Raises:
        ValueError: when there are fewer than two pairs, or the lengths differ.

    >>> tuple(round(value, 2) for value in ratio_interval([1.0, 1.2, 0.8], [2.0, 2.1, 1.9]))
    (0.5, 0.29, 0.67)
    """
    from scipy.stats import t as student

    if len(numerators) != len(denominators) or len(numerators) < 2:
        raise ValueError(f"pairs need two or more seeds on both sides, got {len(numerators)} and {len(denominators)}.")
    above, below = float(np.mean(numerators)), float(np.mean(denominators))
    quantile = student.ppf((1 + confidence) / 2, len(numerators) - 1)
    spread = quantile**2 * np.cov(numerators, denominators) / len(numerators)
    # the ends are the roots of (above - r * below)^2 = the squared half width of the interval of the differences
    square, middle, rest = below**2 - spread[1, 1], above * below - spread[0, 1], above**2 - spread[0, 0]
    if square <= 0:
        return (above / below if below else np.nan), -np.inf, np.inf
    half = np.sqrt(max(middle**2 - square * rest, 0.0))
    return above / below, float((middle - half) / square), float((middle + half) / square)


def paired_t_test(first: ArrayLike, second: ArrayLike) -> float:
    """Return the two-sided p-value of the mean difference of pairs (Student 1908).

    >>> round(paired_t_test([66, 69, 70], [70, 72, 75]), 3)
    0.02
    """
    from scipy.stats import ttest_rel

    return float(ttest_rel(np.asarray(first, dtype=float), np.asarray(second, dtype=float)).pvalue)


def best_of(values: Sequence[NDArray[np.generic]]) -> int | None:
    """Return the index of the model that is significantly the best on the same samples; None if there is none.

    Its mean must be below that of each other model at level 0.05 / (number of others) (Bonferroni), paired by sample.

    Args:
        values: one array `[samples]` per model, for two or more models: errors as bool, compared by McNemar's exact
            test, or numbers such as the NLL, compared by Student's t.

    >>> good, bad = np.zeros(40, bool), np.ones(40, bool)
    >>> best_of([bad, good]), best_of([good, good])
    (1, None)
    """
    numbers = [value.astype(float) for value in values]
    best = int(np.argmin([value.mean() for value in numbers]))
    for place, theirs in enumerate(numbers):
        difference = theirs - numbers[best]
        if place == best:
            continue
        if values[best].dtype == bool:
            p = sign_test(int((difference > 0).sum()), int((difference < 0).sum()))
        else:  # a difference without spread, as between equal models, has no t statistic
            p = paired_t_test(theirs, numbers[best]) if np.ptp(difference) > 0 else 1.0
        if p >= SIGNIFICANCE_LEVEL / (len(values) - 1):
            return None
    return best
