"""Intervals, against what they invert."""

import math

import numpy as np
import pytest

from instar.analysis.significance import mean_interval, ratio_interval


@pytest.mark.parametrize("seed", range(5))
def test_a_ratio_at_an_end_of_its_interval_is_the_last_that_the_pairs_allow(seed):
    random = np.random.default_rng(seed)
    below = random.normal(3, 1, 5)
    above = 0.4 * below + random.normal(0, 0.3, 5)
    ratio, low, high = ratio_interval(above.tolist(), below.tolist())
    assert ratio == pytest.approx(above.mean() / below.mean())
    assert low < ratio < high
    for end in (low, high):
        _, start, stop = mean_interval(above - end * below)
        assert min(abs(start), abs(stop)) == pytest.approx(0, abs=1e-9)


def test_a_ratio_to_what_may_be_nothing_may_be_anything():
    _, low, high = ratio_interval([1.0, 2.0, 1.5], [-1.0, 1.5, 0.2])
    assert (low, high) == (-math.inf, math.inf)
