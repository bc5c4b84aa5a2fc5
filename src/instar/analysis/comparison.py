"""Comparison of two methods, over test samples with fixed weights and over seeds with fixed samples."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from instar.analysis.linearised import NORMAL_QUANTILE, Linearised, difference_interval, mean_of
from instar.analysis.resampling import RESAMPLES, Counts, Numbers, bootstrap, sign_flip_test, sign_test
from instar.analysis.significance import paired_interval, paired_t_test

MAX_SEEDS = 10_000
"""Largest number of seeds that `seeds_needed` returns."""


@dataclass(frozen=True)
class Difference:
    """A difference method - reference, which is negative if the method has fewer errors or a lower NLL.

    Args:
        mean: mean difference.
        low: lower end of the confidence interval.
        high: upper end of the confidence interval.
        better: number of samples or seeds on which the method is better; None: the quantity has no value per sample.
        worse: number of samples or seeds on which the method is worse.
        p: two-sided p-values by test; tests that do not apply are missing.
        corrected: p-values corrected for the number of comparisons; set by `correct`.
    """

    mean: float
    low: float
    high: float
    better: int | None
    worse: int | None
    p: Mapping[str, float] = field(default_factory=dict)
    corrected: Mapping[str, float] = field(default_factory=dict)

    def times(self, factor: float) -> Difference:
        """Return the difference in another unit."""
        return replace(self, mean=factor * self.mean, low=factor * self.low, high=factor * self.high)


def error_over_samples(
    reference: Counts, method: Counts, examples: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Return the difference of mean error rates, with an interval and a test over samples; the runs are fixed.

    d = sum_i (mean_r m_ri - mean_r f_ri) / sum_i n_i over samples i and runs r, with the interval of `bootstrap`. The
    test "mcnemar" is McNemar's exact test if each sample has one example and each method one run. Otherwise it is
    `sign_flip_test`, its generalisation to differences of any size.

    Source: McNemar 1947; Dietterich 1998, section 3.1.

    Args:
        reference: errors f of the reference, `[runs, samples]`.
        method: errors m of the method, `[runs, samples]`; the number of runs may differ.
        examples: number n of labelled examples of each sample, `[samples]`, at least 1.
        resamples: number of resamples of the bootstrap and of the signs.
        seed: seed of the bootstrap and of the signs.

    >>> reference, method = np.array([[1, 1, 1, 1, 1, 0, 0, 1]]), np.array([[0, 0, 0, 0, 0, 0, 0, 1]])
    >>> found = error_over_samples(reference, method, examples=np.ones(8, int))
    >>> found.mean, found.better, found.worse, found.p
    (-0.625, 5, 0, {'mcnemar': 0.0625})
    """
    runs = len(reference) * len(method)
    # times both numbers of runs, so that totals are integers: they compare exactly, and have few distinct values
    totals = len(reference) * method.sum(0) - len(method) * reference.sum(0)
    low, high = bootstrap(totals[:, None], examples, resamples=resamples, seed=seed)[:, 0] / runs
    better, worse = int((totals < 0).sum()), int((totals > 0).sum())
    single = runs == 1 and examples.max() == 1  # then every difference is -1, 0 or 1, as McNemar's test needs
    p = sign_test(better, worse) if single else sign_flip_test(totals, resamples=resamples, seed=seed)
    mean = totals.sum() / examples.sum() / runs
    return Difference(float(mean), float(low), float(high), better, worse, {"mcnemar": p})


def nll_over_samples(
    totals: Numbers, examples: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Difference]:
    """Return the difference of the mean NLL of several methods, with `bootstrap` intervals from the same resamples.

    Args:
        totals: NLL of the method - NLL of the reference in nats, summed over the examples of a sample and averaged over
            runs, `[samples, methods]`.
        examples: number of examples of each sample, `[samples]`.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.

    >>> (found,) = nll_over_samples(np.array([[-0.5], [-1.5], [-1.0]]), np.array([1, 1, 1]))
    >>> found.mean, found.low, found.high, found.better
    (-1.0, -1.5, -0.5, 3)
    """
    low, high = bootstrap(totals, examples, resamples=resamples, seed=seed)
    columns = zip(totals.sum(0) / examples.sum(), low, high, (totals < 0).sum(0), (totals > 0).sum(0), strict=True)
    return [Difference(float(mean), float(a), float(b), int(c), int(d)) for mean, a, b, c, d in columns]


def statistic_over_samples(
    reference: Sequence[Linearised], method: Sequence[Linearised], *, is_tested: bool = False
) -> Difference:
    """Return the difference of a statistic, averaged over runs, with the delta method's interval over samples.

    Args:
        reference: the statistic of each run of the reference.
        method: the statistic of each run of the method, on the same samples; the number of runs may differ.
        is_tested: add the p-value "delta", which is below 0.05 where the interval is without 0.

    >>> first, second = Linearised(0.5, np.array([0.25, -0.25])), Linearised(0.4, np.array([0.25, -0.25]))
    >>> statistic_over_samples([first], [second]).mean
    -0.09999999999999998
    """
    mean, low, high = difference_interval(mean_of(reference), mean_of(method))
    if not is_tested:
        return Difference(mean, low, high, None, None)
    error = (high - low) / (2 * NORMAL_QUANTILE)
    p = math.erfc(abs(mean) / error / math.sqrt(2)) if error > 0 else 1.0
    return Difference(mean, low, high, None, None, {"delta": p})


def over_seeds(reference: Sequence[float], method: Sequence[float]) -> Difference:
    """Return the mean difference over paired seeds with Student's interval, a paired t test "t" and a "sign" test.

    If all seeds have the same difference, low = mean = high, and "t" is missing.

    Args:
        reference: one number per seed, two or more.
        method: one number per seed, in the same order.

    >>> found = over_seeds([70, 72, 75], [66, 69, 70])
    >>> found.mean, found.better, round(found.p["t"], 3), found.p["sign"]
    (-4.0, 3, 0.02, 0.25)
    """
    differences = np.asarray(method, dtype=float) - np.asarray(reference, dtype=float)
    better, worse = int((differences < 0).sum()), int((differences > 0).sum())
    p = {"t": paired_t_test(method, reference)} if np.ptp(differences) > 0 else {}  # no spread, no t statistic
    # the interval is of its second argument - its first
    return Difference(*paired_interval(reference, method), better, worse, p | {"sign": sign_test(better, worse)})


def seeds_needed(differences: Sequence[float], power: float = 0.8, level: float = 0.05) -> int | None:
    """Return the number of paired seeds with which a two-sided t test detects these differences with the given power.

    The smallest n with P(|T| > t_(1 - level/2, n - 1)) >= power, where T is noncentral t with n - 1 degrees of freedom
    and noncentrality sqrt(n) mean / sd. None if n is above 10,000, or the mean or the spread is 0.

    Source: Cohen 1988, "Statistical power analysis for the behavioral sciences", section 2.3.5.

    >>> seeds_needed([-1, -2, -3]), seeds_needed([1, -1])
    (5, None)
    """
    from scipy.stats import nct, t

    if np.ptp(differences) == 0 or not np.mean(differences):
        return None
    effect = abs(np.mean(differences)) / np.std(differences, ddof=1)

    def is_enough(seeds: int) -> bool:
        edge, centre = t.isf(level / 2, seeds - 1), effect * np.sqrt(seeds)
        # the second term is P(T < -edge); nct.cdf would return NaN for tiny values
        return bool(nct.sf(edge, seeds - 1, centre) + nct.sf(edge, seeds - 1, -centre) >= power)

    # power grows with the number of seeds: double until it suffices, then bisect
    most = 2
    while not is_enough(most):
        most *= 2
        if most > MAX_SEEDS:
            return None
    return 2 + bisect_left(range(2, most + 1), True, key=is_enough)


def correct(found: Sequence[Difference]) -> list[Difference]:
    """Return the differences with p-values corrected per test for the number of comparisons (Holm 1979).

    >>> [each.corrected["t"] for each in correct([Difference(0, 0, 0, 0, 0, {"t": p}) for p in (0.03, 0.01, 0.5)])]
    [0.06, 0.03, 0.5]
    """
    corrected: list[dict[str, float]] = [{} for _ in found]
    # tests that do not apply to a comparison do not count in its correction
    for test in sorted({name for each in found for name in each.p}):
        tested = sorted((each.p[test], place) for place, each in enumerate(found) if test in each.p)
        largest = 0.0
        for rank, (p, place) in enumerate(tested):
            # the running maximum keeps the order: a larger p never has a smaller corrected p
            largest = corrected[place][test] = max(largest, min(1.0, (len(tested) - rank) * p))
    return [replace(each, corrected=values) for each, values in zip(found, corrected, strict=True)]
