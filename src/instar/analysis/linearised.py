"""Statistics of samples with the influence of each sample, from which their intervals follow (the delta method)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NORMAL_QUANTILE = 1.959963984540054
"""Quantile of the normal distribution for intervals of 95%."""


@dataclass(frozen=True, eq=False)
class Linearised:
    """A statistic of samples, and how much each sample moves it.

    Args:
        value: the statistic.
        influences: derivative of the statistic by the weight of each sample, at weights of 1, `[samples]`; their sum is
            0 for a statistic that does not change if all weights are doubled.
    """

    value: float
    influences: Numbers

    @property
    def standard_error(self) -> float:
        """sqrt(n / (n - 1) sum_i u_i^2): the infinitesimal jackknife (Efron 1982, chapter 6); NaN for one sample."""
        count = len(self.influences)
        return math.sqrt(count / (count - 1) * float(np.square(self.influences).sum())) if count > 1 else math.nan

    def share_interval(self) -> tuple[float, float] | None:
        """Return the 95% interval of a share, made on the scale of log(v / (1 - v)) so that it stays between 0 and 1.

        None for a share of 0 or 1, and if no sample moves it: these samples then do not tell how sure it is.

        Source: Boyd, Eng and Page 2013, "Area under the precision-recall curve", section 3.3.

        >>> wrong = np.array([1.0] * 10 + [0.0] * 90)
        >>> low, high = Linearised(0.1, (wrong - 0.1) / 100).share_interval()
        >>> round(low, 3), round(high, 3)
        (0.054, 0.176)
        """
        error = self.standard_error
        if not 0 < self.value < 1 or not error > 0:
            return None
        centre = math.log(self.value / (1 - self.value))
        step = NORMAL_QUANTILE * error / (self.value * (1 - self.value))
        low, high = (1 / (1 + math.exp(-min(700.0, max(-700.0, end)))) for end in (centre - step, centre + step))
        return low, high


def constant(value: float, samples: int) -> Linearised:
    """Return a statistic that no sample moves."""
    return Linearised(value, np.zeros(samples))


def ratio_of(first: Linearised, second: Linearised) -> Linearised | None:
    """Return first / second, of the same samples; None where the interval of the second holds 0, or what is below it.

    d(a / b) = (da - (a / b) db) / b.

    >>> twice = ratio_of(Linearised(1.0, np.array([0.02, -0.02])), Linearised(0.5, np.array([0.01, -0.01])))
    >>> twice.value, twice.influences.tolist()
    (2.0, [0.0, 0.0])
    """
    if not second.value - NORMAL_QUANTILE * second.standard_error > 0:
        return None
    value = first.value / second.value
    return Linearised(value, (first.influences - value * second.influences) / second.value)


def mean_of(runs: Sequence[Linearised]) -> Linearised:
    """Return the mean of a statistic over several runs that were tested on the same samples."""
    return Linearised(
        float(np.mean([run.value for run in runs])), np.asarray(np.mean([run.influences for run in runs], axis=0))
    )


def difference_interval(reference: Linearised, method: Linearised) -> tuple[float, float, float]:
    """Return (difference, low, high) of method - reference with its 95% interval, paired by sample.

    Two statistics of the same samples move together, so the influences are subtracted sample by sample.

    >>> first = Linearised(0.5, np.array([0.25, -0.25]))
    >>> difference_interval(first, first)
    (0.0, 0.0, 0.0)
    """
    found = Linearised(method.value - reference.value, method.influences - reference.influences)
    step = NORMAL_QUANTILE * found.standard_error
    return found.value, found.value - step, found.value + step
