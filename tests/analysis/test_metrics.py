"""Numbers of the report against their definitions, computed again."""

import json

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from instar.analysis import (
    Scores,
    all_metrics,
    divergence,
    expected_calibration_error,
    fidelity,
    paired_interval,
    quick_metrics,
    wilson_interval,
)

RANDOM = np.random.default_rng(0)


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(2, 6), st.sampled_from([1, 5, 15, 40]))
def test_calibration_error_is_the_weighted_gap_of_the_bins(seed, classes, bins):
    random = np.random.default_rng(seed)
    probabilities = softmax(3 * random.standard_normal((300, classes)))
    labels = random.integers(0, classes, 300)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    # float32, in which it is computed, has no value between such a one and the edge of a bin
    assume(np.abs(confidence[:, None] - np.arange(bins + 1) / bins).min() > 1e-7)
    expected = 0.0
    for low, high in zip(np.arange(bins) / bins, np.arange(1, bins + 1) / bins, strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    found = expected_calibration_error(torch.tensor(confidence), torch.tensor(right), bins)
    assert found == pytest.approx(expected, abs=1e-6)


def test_calibration_error_is_that_of_torchmetrics_to_the_last_bit():
    from torchmetrics.functional.classification import binary_calibration_error

    for count in (1, 7, 5000):
        confidence = torch.rand(count, generator=torch.Generator().manual_seed(count))
        right = torch.rand(count, generator=torch.Generator().manual_seed(count + 1)) < confidence
        wanted = float(binary_calibration_error(confidence, right.long(), n_bins=15))
        assert expected_calibration_error(confidence, right) == wanted


def test_calibration_error_of_the_sure_is_their_error():
    sure = torch.full((4,), 1 + 1e-6)  # a softmax may be rounded up
    assert expected_calibration_error(sure, torch.tensor([True, True, True, False])) == pytest.approx(0.25)


def test_wilson_interval_has_the_values_of_the_textbook():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_paired_interval_follows_the_formula_of_student():
    ours, theirs = RANDOM.standard_normal(7), RANDOM.standard_normal(7) + 0.5
    differences = theirs - ours
    half = stats.t.ppf(0.95, 6) * differences.std(ddof=1) / np.sqrt(7)
    expected = (differences.mean(), differences.mean() - half, differences.mean() + half)
    assert paired_interval(ours, theirs, confidence=0.9) == pytest.approx(expected)


def test_paired_interval_of_equal_differences_is_a_point():
    assert paired_interval([1, 2, 3], [2, 3, 4]) == (1, 1, 1)
    mean, low, high = paired_interval([0.1, 0.2], [0.2, 0.3])  # alike but for rounding
    assert low == high == mean == pytest.approx(0.1)


@pytest.mark.parametrize(("ours", "theirs"), [([1], [2]), ([], []), ([1, 2], [1, 2, 3])])
def test_paired_interval_needs_pairs(ours, theirs):
    with pytest.raises(ValueError, match="two or more seeds"):
        paired_interval(ours, theirs)


def test_fidelity_is_agreement_and_divergence():
    student, teacher = 3 * RANDOM.standard_normal((2, 50, 4))
    p, q = softmax(teacher), softmax(student)
    of_both = [Scores.of(torch.tensor(logits), torch.zeros(50, dtype=torch.int64)) for logits in (student, teacher)]
    found = fidelity(*of_both, divergence(torch.tensor(student), torch.tensor(teacher)))
    assert found["agreement"] == pytest.approx((p.argmax(1) == q.argmax(1)).mean())
    assert found["kl_to_teacher"] == pytest.approx((p * np.log(p / q)).sum(1).mean())


def test_metrics_count_labelled_samples_only():
    logits, labels = RANDOM.standard_normal((60, 3)), RANDOM.integers(0, 3, 60)
    known = np.arange(60) % 4 > 0
    hidden = torch.tensor(np.where(known, labels, -1))
    wrong = logits.argmax(1) != labels
    nll = -np.log(softmax(logits)[np.arange(60), labels])[known].mean()
    scores = Scores.of(torch.tensor(logits), hidden)
    found = all_metrics(scores, ("a", "b", "c"))
    assert (found["samples"], found["errors"]) == (45, wrong[known].sum())
    assert found["error"] == pytest.approx(wrong[known].mean())
    assert found["nll"] == pytest.approx(nll, rel=1e-5)
    assert found["error_interval"] == wilson_interval(found["errors"], 45)
    assert found["class_errors"] == {
        name: [wrong[known & (labels == index)].sum(), (known & (labels == index)).sum()]
        for index, name in enumerate("abc")
    }
    assert quick_metrics(scores) == {
        "error": pytest.approx(found["error"]),
        "nll": pytest.approx(nll),
    }
    json.dumps(found)


def test_errors_of_thousands_of_classes_are_not_counted_one_by_one():
    scores = Scores.of(torch.eye(3), torch.tensor([0, 1, 1]))
    assert "class_errors" not in all_metrics(scores, tuple(map(str, range(1001))))
    assert len(all_metrics(scores, tuple(map(str, range(1000))))["class_errors"]) == 1000


def test_scores_of_parts_are_those_of_all():
    logits, labels = torch.tensor(RANDOM.standard_normal((60, 5))), torch.tensor(RANDOM.integers(-1, 5, 60))
    whole = Scores.of(logits, labels)
    parts = Scores.joined([Scores.of(logits[:7], labels[:7]), Scores.of(logits[7:], labels[7:])])
    for name in ("labels", "answers", "next_answers", "confidence", "nll"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), equal_nan=True, rtol=0, atol=0)
    assert torch.equal(whole.nll.isnan(), labels == -1)
    torch.testing.assert_close(whole.confidence, torch.softmax(logits, 1).amax(1))
    assert torch.equal(torch.stack([whole.answers, whole.next_answers], 1), logits.topk(2).indices)
