"""Decoupled distillation, compared with its formula in NumPy and with the divergence that it splits."""

import numpy as np
import pytest
import torch

from instar.data import UNLABELLED, Batch
from instar.errors import ConfigError
from instar.objectives import DecoupledKD, SoftTargets
from instar.targets import DenseTargets

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = 4 * RANDOM.standard_normal((2, 16, 7))
LABELS = RANDOM.integers(0, 7, 16)
ROWS = np.arange(16)
BATCH, TARGETS = Batch.of_labels(torch.tensor(LABELS)), DenseTargets(torch.tensor(TEACHER))


def softmax(values, temperature):
    powers = np.exp(values / temperature - (values / temperature).max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def divergence(p, q):
    return (p * np.log(p / q)).sum(-1)


def others(probabilities):
    """Return the probabilities of the other classes than the label, with sum 1."""
    kept = np.array([np.delete(row, label) for row, label in zip(probabilities, LABELS, strict=True)])
    return kept / kept.sum(1, keepdims=True)


def pair(probabilities):
    label = probabilities[ROWS, LABELS]
    return np.stack([label, 1 - label], 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_is_the_weighted_sum_of_two_divergences_times_the_square_of_temperature(temperature):
    p, q = softmax(TEACHER, temperature), softmax(STUDENT, temperature)
    target, other = divergence(pair(p), pair(q)), divergence(others(p), others(q))
    value = DecoupledKD(0.5, 6, temperature)(torch.tensor(STUDENT), BATCH, TARGETS)
    np.testing.assert_allclose(value.beside["target_divergence"], target, rtol=1e-9)
    np.testing.assert_allclose(value.beside["other_divergence"], other, rtol=1e-9)
    np.testing.assert_allclose(value.loss, temperature**2 * (0.5 * target + 6 * other), rtol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_with_the_doubt_of_the_teacher_as_beta_it_is_distillation(temperature):
    logits = torch.tensor(STUDENT, requires_grad=True)
    parts = [DecoupledKD(*weights, temperature)(logits, BATCH, TARGETS).loss for weights in ((1, 0), (0, 1))]
    doubt = torch.tensor(1 - softmax(TEACHER, temperature)[ROWS, LABELS])
    sum_of_parts = parts[0] + doubt * parts[1]
    whole = SoftTargets(temperature)(logits, BATCH, TARGETS)
    torch.testing.assert_close(sum_of_parts, temperature**2 * whole.beside["kl_to_teacher"], rtol=1e-9, atol=1e-12)
    (found,) = torch.autograd.grad(sum_of_parts.sum(), logits)
    (wanted,) = torch.autograd.grad(whole.loss.sum(), logits)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_gradient_of_each_part_equals_finite_differences():
    step = 1e-6 * torch.eye(7, dtype=torch.float64)
    for weights in ((1, 0), (0, 1)):
        term = DecoupledKD(*weights, 2.0)
        logits = torch.tensor(STUDENT, requires_grad=True)
        (found,) = torch.autograd.grad(term(logits, BATCH, TARGETS).loss.sum(), logits)
        plain = logits.detach()
        up, down = ([term(plain + sign * row, BATCH, TARGETS).loss for row in step] for sign in (1, -1))
        torch.testing.assert_close(found, (torch.stack(up, 1) - torch.stack(down, 1)) / 2e-6, rtol=1e-5, atol=1e-7)


def test_the_first_part_moves_the_label_against_all_others_and_the_second_leaves_it_alone():
    logits = torch.tensor(STUDENT, requires_grad=True)
    (first,) = torch.autograd.grad(DecoupledKD(1, 0, 1)(logits, BATCH, TARGETS).loss.sum(), logits)
    p, q = softmax(TEACHER, 1), softmax(STUDENT, 1)
    np.testing.assert_allclose(first[ROWS, LABELS], (q - p)[ROWS, LABELS], atol=1e-12)
    (second,) = torch.autograd.grad(DecoupledKD(0, 1, 1)(logits, BATCH, TARGETS).loss.sum(), logits)
    assert (second[ROWS, LABELS] == 0).all()
    rest = [np.delete(row, label) for row, label in zip(second.numpy(), LABELS, strict=True)]
    np.testing.assert_allclose(rest, others(q) - others(p), atol=1e-12)


def test_is_0_for_equal_logits_whatever_they_are_and_for_examples_without_a_label():
    same = torch.tensor(TEACHER).float()
    loss = DecoupledKD()(same + 3, BATCH, DenseTargets(same)).loss
    assert (loss >= 0).all()
    assert loss.max() < 1e-4
    labels = torch.tensor(LABELS).index_fill(0, torch.tensor([0, 5]), UNLABELLED)
    partly = DecoupledKD()(torch.tensor(STUDENT), Batch.of_labels(labels), TARGETS).loss
    assert ((partly == 0) == (labels == UNLABELLED)).all()


@pytest.mark.parametrize("teacher", [1e30, float("inf")])
@pytest.mark.parametrize("student", [0.0, 1e4, 1e30])
def test_a_teacher_without_any_doubt_is_no_nan(teacher, student):
    sure = DenseTargets(torch.tensor([[0.0, -teacher, -teacher], [-teacher, 0.0, -teacher]]))
    logits = (student * torch.tensor([[1.0, -1.0, 0.5]])).repeat(2, 1).requires_grad_()
    loss = DecoupledKD()(logits, Batch.of_labels(torch.tensor([0, 2])), sure).loss
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


def test_two_classes_leave_nothing_to_the_second_part():
    value = DecoupledKD()(torch.randn(5, 2), Batch.of_labels(torch.ones(5).long()), DenseTargets(torch.randn(5, 2)))
    assert (value.beside["other_divergence"] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -1}, r"DecoupledKD\(alpha\) must be at least 0, got -1\."),
        ({"beta": float("nan")}, r"DecoupledKD\(beta\) must be at least 0, got nan\."),
        ({"temperature": 0}, r"DecoupledKD\(temperature\) must be greater than 0, got 0\."),
    ],
)
def test_refuses_in_words(arguments, message):
    with pytest.raises(ConfigError, match=message):
        DecoupledKD(**arguments)
