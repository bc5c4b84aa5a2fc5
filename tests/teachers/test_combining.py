"""Combined opinions, compared with SciPy's minimiser and with the gradient of the divergence, and in limits."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from instar.compute.tiling import use_tile_bytes
from instar.errors import ConfigError, MismatchError
from instar.teachers.combining import MIN_LOG_PROBABILITY, Opinion, combine_opinions

DIVERGENCES = pytest.mark.parametrize("divergence", ["forward", "reverse"])


def log_softmax(random, rows, width, scale=3.0):
    return torch.tensor(scale * random.standard_normal((rows, width))).log_softmax(-1)


def problem(seed, samples=40, classes=None, specialists=5, scale=3.0, sizes=None, asked=0.5, full=0.1):
    """Return a generalist, opinions of specialists whose classes overlap, and the generalist's weight, in float64."""
    random = np.random.default_rng(seed)
    classes = classes or int(random.integers(3, 13))
    opinions = []
    for _ in range(specialists):
        own = int(random.integers(*(sizes or (1, classes))))
        own = classes if random.random() < full else own
        rows = torch.tensor(random.permutation(samples)[: random.binomial(samples, asked)])
        said = log_softmax(random, len(rows), own + (own < classes), scale)
        which = torch.tensor(random.permutation(classes)[:own])
        opinions.append(Opinion(rows, said, which, float(random.uniform(0.2, 3))))
    return log_softmax(random, samples, classes, scale), opinions, float(random.uniform(0.2, 3))


def of_sample(opinions, row):
    """Return log-probabilities, classes and weight of each opinion about one sample."""
    return [
        (one.log_probs[one.rows == row][0].double(), one.classes, one.weight)
        for one in opinions
        if (one.rows == row).any()
    ]


def divergence_of(log_q, generalist, opinions, weight, divergence):
    """Return the objective of one sample by its formula."""
    said = [(generalist.double(), torch.arange(len(generalist)), weight), *opinions]
    total = torch.zeros((), dtype=torch.float64)
    for log_p, classes, of_this in said:
        theirs = log_q[classes]
        if len(log_p) > len(classes):
            others = [i for i in range(len(log_q)) if i not in classes.tolist()]
            theirs = torch.cat([theirs, log_q[others].logsumexp(0, keepdim=True)])
        p, q = (
            (log_p.clamp(min=MIN_LOG_PROBABILITY), theirs)
            if divergence == "forward"
            else (theirs, log_p.clamp(min=MIN_LOG_PROBABILITY))
        )
        total = total + of_this * (p.exp() * (p - q)).sum()
    return total


def gradient(log_q, *problem):
    """Return the gradient of the objective with respect to the logits of q."""
    logits = log_q.double().requires_grad_()
    return torch.autograd.grad(divergence_of(logits.log_softmax(0), *problem), logits)[0]


def worst_gradient(generalist, opinions, weight, divergence):
    found = combine_opinions(generalist, opinions, divergence, weight)
    assert found.isfinite().all()
    assert found.dtype == generalist.dtype
    rows = range(len(generalist))
    said = [(generalist[row], of_sample(opinions, row), weight, divergence) for row in rows]
    return max(float(gradient(found[row], *said[row]).norm()) for row in rows)


def changed(opinions, change):
    return [Opinion(one.rows, change(one.log_probs), one.classes, one.weight) for one in opinions]


def minimum(generalist, opinions, weight, divergence):
    """Return SciPy's minimum, with gradients by hand in NumPy."""
    size = len(generalist)
    said = [(generalist.numpy(), np.eye(size), weight)]
    for log_p, classes, of_this in opinions:
        parts = np.eye(size)[classes.numpy()]
        if len(log_p) > len(classes):
            parts = np.vstack([parts, 1 - parts.sum(0)])
        said.append((log_p.numpy(), parts, of_this))

    def value(logits):
        q = np.exp(logits - logits.max())
        q /= q.sum()
        found, slope = 0.0, np.zeros(size)
        for log_p, parts, of_this in said:
            theirs = parts @ q
            if divergence == "forward":
                found += of_this * np.sum(np.exp(log_p) * (log_p - np.log(theirs)))
                slope -= of_this * parts.T @ (np.exp(log_p) / theirs)
            else:
                found += of_this * np.sum(theirs * (np.log(theirs) - log_p))
                slope += of_this * parts.T @ (np.log(theirs) - log_p + 1)
        return found, q * (slope - q @ slope)

    options = {"maxiter": 2000, "ftol": 1e-16, "gtol": 1e-9}
    return torch.tensor(minimize(value, np.zeros(size), jac=True, method="L-BFGS-B", options=options).x).softmax(0)


@DIVERGENCES
def test_scipy_finds_the_same_minimum_of_200_problems(divergence):
    for seed in range(200):
        generalist, opinions, weight = problem(seed, samples=1, asked=0.8, specialists=seed % 5 + 1)
        found = combine_opinions(generalist, opinions, divergence, weight)[0].exp()
        expected = minimum(generalist[0], of_sample(opinions, 0), weight, divergence)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@DIVERGENCES
@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"classes": 3, "specialists": 3},
        {"classes": 40, "sizes": (1, 8), "specialists": 12},
        {"classes": 40, "specialists": 12, "asked": 1.0},
        {"classes": 12, "scale": 30.0},
        {"classes": 12, "scale": 30.0, "sizes": (1, 4)},
        {"classes": 12, "scale": 30.0, "sizes": (9, 12)},
        {"classes": 6, "scale": 100.0},
    ],
)
def test_the_gradient_is_zero(divergence, choices):
    generalist, opinions, weight = problem(1, **choices)
    assert worst_gradient(generalist, opinions, weight, divergence) < 1e-10


@DIVERGENCES
@pytest.mark.parametrize("choices", [{}, {"classes": 50, "sizes": (1, 10), "specialists": 12, "asked": 0.3}])
def test_the_gradient_is_zero_in_float32(divergence, choices):
    generalist, opinions, weight = problem(2, scale=2.0, **choices)
    opinions = changed(opinions, torch.Tensor.float)
    assert worst_gradient(generalist.float(), opinions, weight, divergence) < 1e-6


@DIVERGENCES
def test_the_gradient_that_is_tested_is_that_of_finite_differences(divergence):
    generalist, opinions, weight = problem(3, classes=6)
    said = (generalist[0], of_sample(opinions, 0), weight, divergence)
    logits = torch.linspace(-1, 1, 6, dtype=torch.float64)
    steps = 1e-5 * torch.eye(6, dtype=torch.float64)
    values = [[divergence_of((logits + s * step).log_softmax(0), *said) for s in (-1, 1)] for step in steps]
    slopes = torch.tensor([(high - low) / 2e-5 for low, high in values])
    torch.testing.assert_close(gradient(logits, *said), slopes, rtol=1e-6, atol=1e-7)
    combined = combine_opinions(generalist, opinions, divergence, weight)[0]
    at = divergence_of(combined, *said)
    assert all(divergence_of((combined + 1e2 * step).log_softmax(0), *said) > at for step in steps)


@DIVERGENCES
@pytest.mark.parametrize("classes", [7, 30])
def test_a_batch_is_its_samples_one_by_one(divergence, classes):
    generalist, opinions, weight = problem(4, classes=classes, specialists=9, asked=0.7)
    together = combine_opinions(generalist, opinions, divergence, weight)
    for row in range(len(generalist)):
        alone = [
            Opinion(torch.zeros(1, dtype=torch.int64), one.log_probs[one.rows == row], one.classes, one.weight)
            for one in opinions
            if (one.rows == row).any()
        ]
        found = combine_opinions(generalist[row : row + 1], alone, divergence, weight)
        torch.testing.assert_close(found[0], together[row], rtol=0, atol=1e-9)


@DIVERGENCES
def test_tiles_change_nothing(divergence):
    generalist, opinions, weight = problem(5, classes=20, specialists=9, asked=0.9)
    whole = combine_opinions(generalist, opinions, divergence, weight)
    with use_tile_bytes(cached=500):
        found = combine_opinions(generalist, opinions, divergence, weight)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-9)


@DIVERGENCES
def test_more_samples_than_are_solved_for_at_once_are_combined_in_the_same_way(divergence):
    generalist, opinions, weight = problem(5, samples=5000, classes=20, specialists=9, asked=0.95)
    whole = combine_opinions(generalist, opinions, divergence, weight)
    for start in range(0, 5000, 500):
        some = slice(start, start + 500)
        own = [(one, (one.rows >= start) & (one.rows < start + 500)) for one in opinions]
        few = [Opinion(one.rows[at] - start, one.log_probs[at], one.classes, one.weight) for one, at in own]
        found = combine_opinions(generalist[some], few, divergence, weight)
        torch.testing.assert_close(found, whole[some], rtol=0, atol=1e-9)


@DIVERGENCES
def test_of_many_dustbins_only_the_patterns_that_have_classes_are_needed(divergence):
    generalist, opinions, weight = problem(6, classes=9, specialists=6, asked=0.8)
    dense = combine_opinions(generalist, opinions, divergence, weight)
    # seven more of nearly no weight: up to six dustbins, each of the 2^k patterns has a place
    every_row, uniform = torch.arange(len(generalist)), torch.full((len(generalist), 3), 1 / 3).log()
    silent = [Opinion(every_row, uniform, torch.tensor([i, i + 1]), 1e-13) for i in range(7)]
    found = combine_opinions(generalist, opinions + silent, divergence, weight)
    torch.testing.assert_close(found, dense, rtol=0, atol=1e-9)


@DIVERGENCES
def test_without_opinions_the_generalist_stays_as_it_is(divergence):
    generalist = log_softmax(np.random.default_rng(0), 6, 5).float()
    generalist[1, 2] = -math.inf
    nobody = Opinion(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3), torch.arange(2))
    some = Opinion(torch.tensor([4, 0]), torch.full((2, 3), math.log(1 / 3)), torch.arange(2))
    assert torch.equal(combine_opinions(generalist, [], divergence, 0.3), generalist)
    assert torch.equal(combine_opinions(generalist, [nobody], divergence, 0.3), generalist)
    found = combine_opinions(generalist, [nobody, some], divergence, 0.3)
    assert torch.equal(found[[1, 2, 3, 5]], generalist[[1, 2, 3, 5]])
    assert not (found[[0, 4]] == generalist[[0, 4]]).any()
    assert combine_opinions(generalist[:0], [nobody], divergence).shape == (0, 5)


def test_without_dustbins_it_is_the_weighted_mean():
    generalist, opinions, weight = problem(7, classes=8, full=1.0)
    assert not any(one.has_dustbin for one in opinions)
    total = torch.full((len(generalist), 1), weight, dtype=torch.float64)
    arithmetic, geometric = weight * generalist.exp(), weight * generalist
    for one in opinions:
        sorted_ = torch.empty_like(one.log_probs)
        sorted_[:, one.classes] = one.log_probs
        arithmetic[one.rows] += one.weight * sorted_.exp()
        geometric[one.rows] += one.weight * sorted_
        total[one.rows] += one.weight
    forward, reverse = (
        combine_opinions(generalist, opinions, divergence, weight) for divergence in ("forward", "reverse")
    )
    torch.testing.assert_close(forward, (arithmetic / total).log(), rtol=0, atol=1e-12)
    torch.testing.assert_close(reverse, (geometric / total).log_softmax(1), rtol=0, atol=1e-12)


def test_one_dustbin_has_a_closed_form_that_newton_finds(monkeypatch):
    generalist, (one,), weight = problem(8, classes=9, specialists=1, asked=1.0, full=0.0)
    found = combine_opinions(generalist, [one], "forward", weight).exp()[one.rows]
    p, own = generalist.exp()[one.rows], one.log_probs.exp()
    a, c, total = weight * p, one.weight * own[:, -1:], weight + one.weight
    a[:, one.classes] += one.weight * own[:, :-1]
    outside = torch.ones(9, dtype=torch.bool)
    outside[one.classes] = False
    lambdas = total * c / (a[:, outside].sum(1, keepdim=True) + c)
    torch.testing.assert_close(found, a / (total - lambdas * outside), rtol=1e-12, atol=0)
    # beside a specialist of all classes and no weight, whose dustbin is next to nothing, Newton's method is needed
    empty = Opinion(one.rows, torch.zeros(len(one.rows), 1, dtype=torch.float64), torch.arange(0), 0.7)
    found = combine_opinions(generalist, [one, empty], "forward", weight).exp()[one.rows]
    torch.testing.assert_close(found, a / (total - lambdas * outside), rtol=1e-9, atol=0)


@DIVERGENCES
def test_classes_of_probability_zero(divergence):
    generalist, opinions, weight = problem(9, classes=6, specialists=4, asked=0.9)
    generalist[::2, :3] = -math.inf
    generalist = generalist.log_softmax(1)
    for one in opinions:
        one.log_probs[1::2, :1] = -math.inf
    opinions = changed(opinions, lambda said: said.log_softmax(1).nan_to_num(nan=0.0))
    assert worst_gradient(generalist, opinions, weight, divergence) < 1e-10
    assert worst_gradient(generalist.float(), changed(opinions, torch.Tensor.float), weight, divergence) < 2e-5


@DIVERGENCES
@pytest.mark.parametrize("dustbin", [1.0, 0.0])
@pytest.mark.parametrize("others", [0, 3])
def test_all_or_nothing_in_the_dustbin(divergence, dustbin, others):
    generalist, opinions, weight = problem(10, classes=7, specialists=others, asked=1.0, full=0.0)
    known = torch.full((40, 3), (1 - dustbin) / 3, dtype=torch.float64)
    said = torch.cat([known, torch.full((40, 1), dustbin, dtype=torch.float64)], 1).log()
    sure = Opinion(torch.arange(40), said, torch.tensor([5, 0, 3]), 2.0)
    assert worst_gradient(generalist, [sure, *opinions], weight, divergence) < 1e-10
    found = combine_opinions(generalist, [sure, *opinions], divergence, weight).exp()
    if divergence == "reverse":
        inside = found[:, sure.classes].sum(1)
        torch.testing.assert_close(inside, torch.full((40,), 1 - dustbin, dtype=torch.float64), atol=1e-12, rtol=0)
    elif not others and dustbin:
        expected = weight * generalist.exp()[:, sure.classes] / (weight + 2)
        torch.testing.assert_close(found[:, sure.classes], expected)


@DIVERGENCES
def test_small_probabilities_keep_their_digits(divergence):
    sure = torch.full((1, 6), -200.0, dtype=torch.float64)
    sure[0, 0] = 0.0
    sure[0, 4] = -210.0
    opinions = [
        Opinion(torch.tensor([0]), torch.tensor([[0.0, -200.0, -200.0]]).double(), torch.tensor([0, 1])),
        Opinion(torch.tensor([0]), torch.tensor([[0.0, -200.0, -200.0]]).double(), torch.tensor([0, 2])),
    ]
    found = combine_opinions(sure, opinions, divergence)[0]
    assert abs(float(found[0])) < 1e-12
    assert float(found[3] - found[4]) == pytest.approx(10)
    if divergence == "forward":  # q_1 = 2 e^-200 / (3 - lambda), and lambda is nearly 0
        assert float(found[1]) < -199
    assert worst_gradient(sure, opinions, 1.0, divergence) < 1e-12
    torch.testing.assert_close(
        combine_opinions(sure.float(), changed(opinions, torch.Tensor.float), divergence)[0].double(), found
    )


@DIVERGENCES
def test_a_specialist_that_agrees_changes_nothing(divergence):
    random = np.random.default_rng(11)
    generalist = log_softmax(random, 20, 10)
    opinions = []
    for own in (1, 2, 4, 7, 9):
        classes = torch.tensor(random.permutation(10)[:own])
        others = torch.ones(10, dtype=torch.bool)
        others[classes] = False
        said = torch.cat([generalist[:, classes], generalist[:, others].logsumexp(1, keepdim=True)], 1)
        opinions.append(Opinion(torch.arange(20), said, classes, float(own)))
        torch.testing.assert_close(
            combine_opinions(generalist, opinions, divergence, 0.4), generalist, rtol=0, atol=1e-9
        )


@DIVERGENCES
def test_the_order_of_opinions_and_classes_does_not_matter(divergence):
    generalist, opinions, weight = problem(12, classes=12, specialists=8)
    expected = combine_opinions(generalist, opinions, divergence, weight)
    turned = []
    for one in opinions[::-1]:
        own, rows = torch.arange(len(one.classes)).flip(0), torch.arange(len(one.rows)).flip(0)
        said = torch.cat([one.log_probs[:, own], one.log_probs[:, len(own) :]], 1)
        turned.append(Opinion(one.rows[rows], said[rows], one.classes[own], one.weight))
    torch.testing.assert_close(combine_opinions(generalist, turned, divergence, weight), expected, rtol=0, atol=1e-9)


@DIVERGENCES
def test_weights_count_relative_to_each_other(divergence):
    generalist, opinions, weight = problem(13)
    expected = combine_opinions(generalist, opinions, divergence, weight)
    opinions = [Opinion(one.rows, one.log_probs, one.classes, 10 * one.weight) for one in opinions]
    torch.testing.assert_close(
        combine_opinions(generalist, opinions, divergence, 10 * weight), expected, rtol=0, atol=1e-9
    )


@DIVERGENCES
def test_many_specialists_of_every_class_once(divergence):
    random = np.random.default_rng(14)
    generalist, rows = log_softmax(random, 10, 36), torch.arange(10)
    opinions = [Opinion(rows, log_softmax(random, 10, 4), torch.arange(3 * i, 3 * i + 3)) for i in range(12)]
    assert worst_gradient(generalist, opinions, 1.0, divergence) < 1e-10


def test_more_specialists_than_one_number_can_name():
    random = np.random.default_rng(15)
    generalist = log_softmax(random, 100, 50)
    opinions = [Opinion(torch.tensor([i]), log_softmax(random, 1, 3), torch.tensor([i % 50, 0])) for i in range(1, 50)]
    opinions += [Opinion(torch.tensor([i]), log_softmax(random, 1, 2), torch.tensor([i % 50])) for i in range(100)]
    assert worst_gradient(generalist, opinions, 1.0, "forward") < 1e-10


@DIVERGENCES
def test_leaves_its_arguments_unchanged(divergence):
    generalist, opinions, weight = problem(16, samples=10, classes=8, scale=200.0)
    before = [generalist.clone(), *(one.log_probs.clone() for one in opinions)]
    combine_opinions(generalist.T.contiguous().T, opinions, divergence, weight)
    combine_opinions(generalist.requires_grad_(), opinions, divergence, weight)
    after = [generalist, *(one.log_probs for one in opinions)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


ROW, HALVES = torch.tensor([0]), torch.full((1, 2), 0.5).log()


@pytest.mark.parametrize(
    ("opinions", "choices", "error", "message"),
    [
        ([Opinion(ROW, HALVES, torch.arange(2))], {}, MismatchError, "2 of 3 classes has no dustbin; it must have one"),
        ([Opinion(ROW, torch.zeros(1, 4), torch.arange(3))], {}, MismatchError, "3 of 3 classes has a dustbin"),
        ([Opinion(ROW, HALVES, torch.arange(3))], {}, MismatchError, r"must be \[1, 3\] or \[1, 4\], got \[1, 2\]"),
        (
            [Opinion(ROW, HALVES[[0, 0]], ROW)],
            {},
            MismatchError,
            r"1 samples must be \[1, 1\] or \[1, 2\], got \[2, 2\]",
        ),
        ([Opinion(ROW, HALVES, ROW, 0.0)], {}, ConfigError, "weights.* must be above 0, got 1.0 and 0.0"),
        ([Opinion(ROW, HALVES, ROW)], {"weight": -1.0}, ConfigError, "weights.* must be above 0, got -1.0 and 1.0"),
        ([], {"divergence": "both"}, ConfigError, "must be 'forward' or 'reverse', got 'both'"),
        ([Opinion(ROW, HALVES, ROW)] * 53, {}, ConfigError, "at most 52 dustbins for a sample, got 53"),
    ],
)
def test_refuses_in_words(opinions, choices, error, message):
    with pytest.raises(error, match=message):
        combine_opinions(torch.full((1, 3), 1 / 3).log(), opinions, **choices)
