"""Terms on standardised logits: values, invariances and text."""

import numpy as np
import pytest
import torch

from instar.data import Batch
from instar.errors import ConfigError
from instar.objectives import (
    ConfidenceWeighted,
    DecoupledKD,
    HardLabels,
    LogitMatching,
    Need,
    SoftTargets,
    Standardised,
    parse_objective,
)
from instar.targets import DenseTargets, MixtureTargets

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = 4 * RANDOM.standard_normal((2, 16, 7))
BATCH = Batch.of_labels(torch.tensor(RANDOM.integers(0, 7, 16)))
TARGETS = DenseTargets(torch.tensor(TEACHER))
READERS = [SoftTargets(2), DecoupledKD(1, 2, 3), LogitMatching()]
every_reader = pytest.mark.parametrize("term", READERS, ids=repr)


def scores(values):
    return (values - values.mean(1, keepdims=True)) / (values.std(1, ddof=1, keepdims=True) + 1e-7)


@every_reader
def test_is_the_term_on_z_scores(term):
    found = Standardised(term)(torch.tensor(STUDENT), BATCH, TARGETS)
    wanted = term(torch.tensor(scores(STUDENT)), BATCH, DenseTargets(torch.tensor(scores(TEACHER))))
    torch.testing.assert_close(found.loss, wanted.loss, rtol=1e-12, atol=1e-12)
    assert list(found.beside) == [f"standardised_{name}" for name in wanted.beside]


@every_reader
def test_cannot_see_shift_and_scale_of_either_side(term):
    term = Standardised(term)
    logits = torch.tensor(STUDENT, requires_grad=True)
    plain = term(logits, BATCH, TARGETS).loss
    moved = term(3 * logits + 5, BATCH, DenseTargets(0.1 * TARGETS.values - 2)).loss
    torch.testing.assert_close(plain, moved, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(plain.sum(), logits)
    assert gradient.abs().sum(1).min() > 1e-3
    centred = STUDENT - STUDENT.mean(1, keepdims=True)
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-12)
    np.testing.assert_allclose((gradient.numpy() * centred).sum(1), 0, atol=1e-6)  # but for the 1e-7 beside std


def test_a_mixture_is_standardised_by_the_logarithm_of_its_probabilities():
    mixture = MixtureTargets((TARGETS, DenseTargets(torch.tensor(STUDENT))), torch.tensor([0.5, 0.5]).log())
    found = Standardised()(torch.tensor(STUDENT), BATCH, mixture).loss
    log_probs = DenseTargets(mixture.log_probs(1.0))
    torch.testing.assert_close(found, Standardised()(torch.tensor(STUDENT), BATCH, log_probs).loss)


def test_equal_logits_are_no_nan():
    logits = torch.ones(2, 4, requires_grad=True)
    loss = Standardised()(logits, Batch.of_labels(torch.zeros(2).long()), DenseTargets(torch.zeros(2, 4))).loss
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.full((2,), 4 * float(np.log(4))))
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("term", [*READERS, HardLabels(), ConfidenceWeighted(), Standardised()], ids=repr)
def test_what_it_is_follows_from_the_term_inside(term):
    outer = Standardised(term)
    assert outer.name == f"standardised_{term.name}"
    assert outer.needs == term.needs
    assert outer.weighs_examples == term.weighs_examples
    weights = outer.weights(BATCH, TARGETS)
    assert (weights is not None) == term.weighs_examples
    if Need.TEACHER not in term.needs:
        assert outer(torch.tensor(STUDENT), BATCH, None).loss.shape == (16,)


def test_weights_of_the_term_inside_see_standardised_targets():
    wanted = ConfidenceWeighted().weights(BATCH, DenseTargets(torch.tensor(scores(TEACHER))))
    torch.testing.assert_close(Standardised(ConfidenceWeighted()).weights(BATCH, TARGETS), wanted)


def test_is_written_as_text():
    text = "9 * Standardised(SoftTargets(2)) + 0.1 * HardLabels()"
    objective = 9 * Standardised(SoftTargets(2)) + 0.1 * HardLabels()
    assert parse_objective(text) == objective == parse_objective(repr(objective))
    assert [term.name for _, term in objective.parts] == ["standardised_soft_targets", "hard_labels"]
    both = parse_objective("SoftTargets(2) + Standardised(SoftTargets(2)) + Standardised(DecoupledKD)")
    _, sums = both(torch.tensor(STUDENT), BATCH, TARGETS)
    assert {"kl_to_teacher", "standardised_kl_to_teacher", "standardised_target_divergence"} <= sums.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Standardised(3)", r"Standardised\(term\) must be one term, for example SoftTargets\(2\), got 3\."),
        ("Standardised(SoftTarget(2))", "term 'SoftTarget' is unknown; did you mean 'SoftTargets'"),
        ("Standardised(SoftTargets(2) + HardLabels())", r"got 'SoftTargets\(2\) \+ HardLabels\(\)'"),
        ("Standardised(SoftTargets(0))", r"SoftTargets\(temperature\) must be greater than 0, got 0"),
        ("Standardised(SoftTargets(2)) + Standardised(SoftTargets(4))", "'standardised_soft_targets' appears 2 times"),
    ],
)
def test_refuses_in_words(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_objective(text)
