"""Balanced error, macro F1 and average precision against scikit-learn, and their intervals against repeated draws."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from instar.analysis.imbalance import (
    average_precision,
    balanced_error,
    balanced_error_interval,
    label_ranks,
    log_odds,
    macro_f1,
)
from instar.analysis.linearised import Linearised, difference_interval, mean_of
from instar.analysis.significance import wilson_interval

RANDOM = np.random.default_rng(0)


def draw(count, classes, random=RANDOM, strength=2.0, decimals=12):
    shares = np.arange(1, classes + 1) ** 2.0
    labels = random.choice(classes, count, p=shares / shares.sum())
    labels[:classes] = range(classes)  # scikit-learn warns of classes without examples
    logits = random.normal(size=(count, classes)) + strength * np.eye(classes)[labels]
    return torch.tensor(logits.round(decimals)).float(), torch.tensor(labels)


def of_each(logits, labels):
    answers = logits.argmax(1)
    odds = log_odds(logits)
    return balanced_error(answers, labels), macro_f1(answers, labels), average_precision(odds, labels)


def by_scikit_learn(logits, labels, weights=None):
    answers, odds = logits.argmax(1).numpy(), log_odds(logits).numpy()
    return (
        1 - metrics.balanced_accuracy_score(labels, answers, sample_weight=weights),
        metrics.f1_score(labels, answers, average="macro", sample_weight=weights),
        np.mean(
            [
                metrics.average_precision_score(labels == number, odds[:, number], sample_weight=weights)
                for number in labels.unique().tolist()
            ]
        ),
    )


@pytest.mark.parametrize("decimals", [12, 0])  # whole numbers as logits have many ties
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_values_are_those_of_scikit_learn_and_influences_their_derivatives(classes, decimals):
    logits, labels = draw(200, classes, decimals=decimals)
    found, wanted = of_each(logits, labels), by_scikit_learn(logits, labels)
    assert [each.value for each in found] == pytest.approx(wanted, abs=1e-12)
    step = 1e-5
    for place in range(0, 200, 25):
        weights = np.ones(200)
        weights[place] += step
        moved = by_scikit_learn(logits, labels, weights)
        for each, before, after in zip(found, wanted, moved, strict=True):
            assert each.influences[place] == pytest.approx((after - before) / step, rel=1e-4, abs=1e-8)


def test_the_order_of_probabilities_that_all_round_to_1_is_kept():
    odds = log_odds(torch.tensor([[60.0, 0.0], [50.0, 0.0], [40.0, -torch.inf]]))
    assert odds[:, 0].tolist() == [60, 50, torch.inf]
    assert odds[:, 1].tolist() == [-60, -50, -torch.inf]


def test_a_class_that_no_example_has_and_nobody_predicts_does_not_count():
    logits, labels = torch.eye(4)[[0, 0, 2]], torch.tensor([0, 2, 2])
    error, f1, precision = of_each(logits, labels)
    assert (error.value, f1.value) == (0.25, pytest.approx(2 / 3))
    assert precision.value == by_scikit_learn(logits, labels)[2]


def test_the_rank_of_the_label_counts_ties_as_the_prediction_does():
    logits, labels = draw(300, 7, decimals=0)
    ranks = label_ranks(logits, labels)
    assert torch.equal(ranks == 0, logits.max(1).indices == labels)
    for row, label, rank in zip(logits.numpy(), labels.tolist(), ranks.tolist(), strict=True):
        assert np.argsort(-row, kind="stable").tolist().index(label) == rank


def test_the_interval_of_one_class_is_wilsons_and_a_rare_class_without_errors_widens_it():
    assert balanced_error_interval(np.array([0, 7]), np.array([0, 40])) == pytest.approx(wilson_interval(7, 40))
    few, many = (balanced_error_interval(np.array([50, 0]), np.array([1000, count])) for count in (4, 400))
    assert few[1] - few[0] > 5 * (many[1] - many[0])
    assert balanced_error_interval(np.array([0, 0]), np.array([5, 5]))[0] == 0


def test_the_interval_of_a_mean_is_the_usual_one_and_that_of_the_certain_is_unknown():
    values = RANDOM.normal(size=50)
    mean = Linearised(float(values.mean()), (values - values.mean()) / 50)
    assert mean.standard_error == pytest.approx(stats.sem(values))
    assert Linearised(1.0, np.zeros(9)).share_interval() is None
    assert Linearised(0.5, np.zeros(1)).share_interval() is None


def test_intervals_cover_the_true_value_about_as_often_as_they_say():
    true = [each.value for each in of_each(*draw(100_000, 3))]
    hits = np.zeros(3)
    for seed in range(200):
        logits, labels = draw(300, 3, np.random.default_rng(seed))
        _, f1, precision = of_each(logits, labels)
        counts = labels.bincount(minlength=3).numpy()
        wrong = labels[logits.argmax(1) != labels].bincount(minlength=3).numpy()
        ends = balanced_error_interval(wrong, counts), f1.share_interval(), precision.share_interval()
        hits += [low <= value <= high for (low, high), value in zip(ends, true, strict=True)]
    assert (hits / 200 > 0.9).all(), hits  # 0.9 is 3.2 standard errors below 0.95


def test_a_paired_difference_is_much_surer_than_two_intervals_of_models_that_err_alike():
    logits, labels = draw(400, 3)
    other = logits + 0.05 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    for first, second in zip(of_each(logits, labels), of_each(other, labels), strict=True):
        value, low, high = difference_interval(first, second)
        assert value == pytest.approx(second.value - first.value)
        assert low <= value <= high
        assert high - low < 0.7 * 2 * 1.96 * first.standard_error
    both = mean_of([first, second])
    assert difference_interval(both, both) == (0, 0, 0)


def test_a_paired_difference_has_the_spread_of_the_difference_over_resamples():
    logits, labels = draw(300, 3)
    other = logits + 0.7 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    random = np.random.default_rng(1)
    resampled = []
    for _ in range(400):
        rows = random.integers(0, 300, 300)
        pairs = zip(of_each(logits[rows], labels[rows]), of_each(other[rows], labels[rows]), strict=True)
        resampled.append([second.value - first.value for first, second in pairs])
    for first, second, spread in zip(
        of_each(logits, labels), of_each(other, labels), np.std(resampled, axis=0), strict=True
    ):
        _, low, high = difference_interval(first, second)
        assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.15)
