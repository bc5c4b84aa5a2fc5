"""Intervals, p-values and powers against SciPy, enumeration and simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from instar.analysis.comparison import (
    Difference,
    correct,
    error_over_samples,
    nll_over_samples,
    over_seeds,
    seeds_needed,
)
from instar.analysis.resampling import bootstrap, sign_flip_test, sign_test

RANDOM = np.random.default_rng(0)


def ones(samples):
    return np.ones(samples, dtype=np.int64)


@pytest.mark.parametrize("values", [np.array([-1, 0, 1]), RANDOM.standard_normal(300)], ids=["few", "many"])
def test_the_bootstrap_is_that_of_scipy(values):
    differences = RANDOM.choice(values, 300)
    low, high = bootstrap(differences[:, None], ones(300), resamples=40_000, seed=1)[:, 0]
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=40_000, method="percentile", batch=1000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (low, high) == pytest.approx(theirs, abs=0.02 * (high - low))


def test_counts_of_kinds_and_draws_of_samples_are_the_same_bootstrap():
    few = RANDOM.integers(-1, 2, 400)
    noise = 1e-9 * RANDOM.standard_normal(400)  # every sample is then a kind of its own
    sizes = RANDOM.integers(1, 4, 400)
    counted, drawn = (
        bootstrap((few + noise * is_many)[:, None], sizes, resamples=40_000, seed=3) for is_many in (0, 1)
    )
    assert counted[:, 0] == pytest.approx(drawn[:, 0], abs=0.02 * float(np.ptp(counted)))


def test_whole_samples_are_drawn_because_their_positions_are_not_independent():
    """Positions that are all alike say as much as one of them."""
    wrong = RANDOM.integers(0, 2, (2, 1, 500))
    one = error_over_samples(wrong[0], wrong[1], ones(500))
    twenty = error_over_samples(20 * wrong[0], 20 * wrong[1], 20 * ones(500))
    assert (twenty.mean, twenty.low, twenty.high) == pytest.approx((one.mean, one.low, one.high))
    assert twenty.p["mcnemar"] == pytest.approx(one.p["mcnemar"], abs=0.02)


def test_the_interval_covers_the_truth():
    """Of 500 data sets, 95% of the intervals hold the true difference, within four standard errors."""
    truth, covered = -0.05, 0
    for trial in range(500):
        reference, method = np.random.default_rng(trial).random((2, 1, 200)) < [[[0.3]], [[0.25]]]
        found = error_over_samples(reference.astype(int), method.astype(int), ones(200), resamples=500, seed=trial)
        covered += found.low <= truth <= found.high
    assert covered / 500 == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 500))


def test_one_run_of_each_is_judged_by_the_exact_mcnemar_test():
    reference, method = RANDOM.integers(0, 2, (2, 1, 90))
    found = error_over_samples(reference, method, ones(90))
    table = [(reference & ~method & 1).sum(), (method & ~reference & 1).sum()]
    assert [found.better, found.worse] == table
    assert found.p["mcnemar"] == stats.binomtest(int(table[0]), int(sum(table)), 0.5).pvalue
    assert found.mean == pytest.approx(method.mean() - reference.mean())


def test_random_signs_approximate_all_signs():
    totals = np.array([3, -1, 2, 2, 0, 5, -2, 1, 4])
    signs = np.array(list(itertools.product([-1, 1], repeat=len(totals))))
    exact = (np.abs(signs @ totals) >= abs(totals.sum())).mean()
    assert sign_flip_test(totals, resamples=200_000) == pytest.approx(exact, abs=4 * np.sqrt(exact / 200_000))
    assert sign_flip_test(np.zeros(5, dtype=int)) == 1.0
    assert sign_flip_test(np.full(50, -2)) == pytest.approx(1 / 10_001)


def test_several_runs_count_by_their_mean():
    reference, method = RANDOM.integers(0, 2, (3, 80)), RANDOM.integers(0, 2, (2, 80))
    found = error_over_samples(reference, method, ones(80))
    change = method.mean(0) - reference.mean(0)
    assert found.mean == pytest.approx(change.mean())
    theirs = stats.bootstrap((change,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0))
    width = found.high - found.low
    assert (found.low, found.high) == pytest.approx(theirs.confidence_interval, abs=0.04 * width)
    assert (found.better, found.worse) == ((change < 0).sum(), (change > 0).sum())


def test_nll_of_several_methods_is_that_of_each():
    totals, sizes = RANDOM.standard_normal((120, 2)), RANDOM.integers(1, 5, 120)
    both = nll_over_samples(totals, sizes)
    for column in range(2):
        (alone,) = nll_over_samples(totals[:, [column]], sizes)
        assert (both[column].low, both[column].high) == pytest.approx((alone.low, alone.high))
        assert both[column].mean == pytest.approx(alone.mean)
        assert alone.mean == pytest.approx(totals[:, column].sum() / sizes.sum())
        assert alone.low < alone.mean < alone.high


def test_over_seeds_are_the_tests_of_scipy():
    reference, method = RANDOM.integers(50, 90, (2, 6)).tolist()
    found = over_seeds(reference, method)
    theirs = stats.ttest_rel(method, reference)
    interval = theirs.confidence_interval()
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(method) - np.mean(reference), *interval))
    assert found.p["t"] == pytest.approx(theirs.pvalue)
    signs = np.sign(np.subtract(method, reference))
    assert found.p["sign"] == stats.binomtest(int((signs > 0).sum()), int((signs != 0).sum())).pvalue


def test_seeds_without_spread_give_no_t_test():
    found = over_seeds([5, 6, 7], [4, 5, 6])
    assert (found.low, found.high, dict(found.p)) == (-1, -1, {"sign": 0.25})
    assert sign_test(0, 0) == 1.0


@pytest.mark.parametrize("effect", [0.4, 1.0, 3.0, 5.7])
def test_the_seeds_needed_have_the_power_and_one_fewer_has_not(effect):
    base = np.array([-1.0, 0.0, 1.0])  # of standard deviation 1
    found = seeds_needed(base + effect)
    assert found is not None

    def power(seeds):
        draws = np.random.default_rng(1).normal(effect, 1, (40_000, seeds))
        return (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()

    assert power(found) > 0.79
    assert found == 2 or power(found - 1) < 0.81


def test_the_seeds_needed_are_those_of_the_textbook():
    """Cohen 1988, table 2.4.1 as a paired test: d = 0.5 takes 34 pairs, d = 0.8 takes 15."""
    base = np.array([-1.0, 0.0, 1.0])
    assert [seeds_needed(base + effect) for effect in (0.5, 0.8)] == [34, 15]
    assert [seeds_needed(values) for values in ([1, -1], [2, 2], [1e-4 - 1, 1e-4 + 1])] == [None, None, None]
    assert seeds_needed([100, 101]) == 2


def test_holm_corrects_each_test_for_those_that_have_it():
    p = RANDOM.random(6) ** 3
    found = correct([Difference(0, 0, 0, 0, 0, {"t": value} | ({"sign": 0.3} if value < 0.1 else {})) for value in p])
    order = np.argsort(p)
    expected = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(6, 0, -1)))
    assert [found[place].corrected["t"] for place in order] == pytest.approx(expected.tolist())
    few = [each.corrected["sign"] for each in found if "sign" in each.p]
    assert few == pytest.approx([min(1, 0.3 * len(few))] * len(few))
