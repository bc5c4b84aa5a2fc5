"""Resampling of paired differences: bootstrap over samples, and tests of random signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]

RESAMPLES = 10_000
"""Number of resamples: the ends of an interval then vary with the seed by about a hundredth of its width."""
MAX_HELD_DRAWS = 1 << 21
"""Largest number of draws in memory at a time: 16 MiB of int64."""


def bootstrap(
    totals: NDArray[np.number], sizes: Counts, *, resamples: int, seed: int, confidence: float = 0.95
) -> Numbers:
    """Return the percentile bootstrap interval `[2, columns]` of sum_i t_i / sum_i n_i.

    Source: Efron 1979; Efron and Tibshirani 1993, "An introduction to the bootstrap", section 13.3.

    Args:
        totals: t, `[samples, columns]`; all columns see the same resamples.
        sizes: n, `[samples]`.
        resamples: number of resamples.
        seed: seed of the draws.
        confidence: confidence level of the interval.

    >>> low, high = bootstrap(np.array([[-1], [0]] * 200), np.ones(400, int), resamples=10_000, seed=0)[:, 0]
    >>> round(float(low), 2), round(float(high), 2)
    (-0.55, -0.45)
    """
    random = np.random.default_rng(seed)
    rows = np.column_stack([totals, sizes]).astype(float)  # a resample draws t and n of a sample together
    samples = len(rows)
    # samples with equal rows are interchangeable; errors of a few runs have only a few kinds of row
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    is_few = 16 * len(kinds) < samples  # then one multinomial draw of counts is cheaper than a draw per sample
    step = max(1, MAX_HELD_DRAWS // (len(kinds) if is_few else samples))
    sums = []
    for number in (min(step, resamples - start) for start in range(0, resamples, step)):
        if is_few:
            sums.append(random.multinomial(samples, counts / samples, number) @ kinds)
        else:
            drawn = random.integers(samples, size=(number, samples))
            # each resample gets a range of indices of its own, so that one bincount counts all of them
            drawn += samples * np.arange(number)[:, None]
            sums.append(np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape) @ rows)
    found = np.concatenate(sums)
    tail = (1 - confidence) / 2
    # the number of examples differs between resamples too, so the ratio is taken per resample
    ends: Numbers = np.quantile(found[:, :-1] / found[:, -1:], [tail, 1 - tail], axis=0)
    return ends


def sign_test(better: int, worse: int) -> float:
    """Return the exact two-sided p-value of a sign test without ties; for correct samples this is McNemar's test.

    >>> sign_test(0, 0), sign_test(6, 0)
    (1.0, 0.03125)
    """
    from scipy.stats import binomtest

    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def sign_flip_test(totals: Counts, *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Return the p-value of |sum_i t_i| under random signs of the t_i, at least 1 / (resamples + 1).

    Source: Fisher 1935; Phipson and Smyth 2010, equation 2.

    Args:
        totals: whole numbers t, `[samples]`.
        resamples: number of draws of all signs.
        seed: seed of the draws.

    >>> round(sign_flip_test(np.array([1] * 9 + [-1] * 2)), 2), sign_test(9, 2)
    (0.07, 0.0654296875)
    """
    sizes, counts = np.unique(np.abs(totals[totals != 0]), return_counts=True)  # a sign of 0 changes nothing
    # the number of positive signs among equal |t_i| is binomial, so one draw per size replaces one per sample
    positive = np.random.default_rng(seed).binomial(counts, 0.5, (resamples, len(counts)))
    sums = (2 * positive - counts) @ sizes
    # the observed signs count as one draw, so that p is never 0 (Phipson and Smyth, equation 2)
    return float(1 + (np.abs(sums) >= abs(totals.sum())).sum()) / (1 + resamples)
