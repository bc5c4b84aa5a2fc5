"""Terms, compared with their formulas in NumPy and float64."""

import numpy as np
import pytest
import torch

from instar.data import UNLABELLED, Batch
from instar.objectives import HardLabels, LogitMatching, SoftTargets
from instar.targets import DenseTargets

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = 4 * RANDOM.standard_normal((2, 16, 7))
LABELS = RANDOM.integers(0, 7, 16)
NONE = torch.full((16,), UNLABELLED)


def softmax(values, temperature=1.0):
    powers = np.exp(values / temperature - (values / temperature).max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def gradient(term, student, teacher):
    logits = torch.tensor(student, requires_grad=True)
    batch = Batch.of_labels(torch.full(logits.shape[:-1], UNLABELLED))
    term(logits, batch, DenseTargets(torch.tensor(teacher))).loss.sum().backward()
    return logits.grad.numpy()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5, 20.0])
def test_soft_targets_are_the_cross_entropy_times_the_square_of_temperature(temperature):
    p, q = softmax(TEACHER, temperature), softmax(STUDENT, temperature)
    value = SoftTargets(temperature)(torch.tensor(STUDENT), NONE, DenseTargets(torch.tensor(TEACHER)))
    np.testing.assert_allclose(value.loss, -(temperature**2) * (p * np.log(q)).sum(1), rtol=1e-12)
    np.testing.assert_allclose(value.beside["kl_to_teacher"], (p * np.log(p / q)).sum(1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5, 20.0])
def test_gradient_of_soft_targets_is_temperature_times_the_difference_of_probabilities(temperature):
    expected = temperature * (softmax(STUDENT, temperature) - softmax(TEACHER, temperature))
    np.testing.assert_allclose(gradient(SoftTargets(temperature), STUDENT, TEACHER), expected, atol=1e-12)


def test_float32_is_close_to_the_formula():
    p, q = softmax(TEACHER, 4), softmax(STUDENT, 4)
    value = SoftTargets(4)(torch.tensor(STUDENT).float(), NONE, DenseTargets(torch.tensor(TEACHER).float()))
    np.testing.assert_allclose(value.loss, -16 * (p * np.log(q)).sum(1), rtol=1e-5)


def test_gradient_of_soft_targets_tends_to_that_of_logit_matching_at_rate_1_over_temperature():
    limit = gradient(LogitMatching(), STUDENT, TEACHER)
    temperatures = np.array([50.0, 100, 200, 400, 800, 1600])
    errors = [np.abs(gradient(SoftTargets(t), STUDENT, TEACHER) - limit).max() for t in temperatures]
    slope, _ = np.polyfit(np.log(temperatures), np.log(errors), 1)
    assert slope == pytest.approx(-1, abs=0.1)


def test_logit_matching_is_half_the_mean_square_of_centred_logits():
    centred = (STUDENT - STUDENT.mean(1, keepdims=True)) - (TEACHER - TEACHER.mean(1, keepdims=True))
    value = LogitMatching()(torch.tensor(STUDENT), NONE, DenseTargets(torch.tensor(TEACHER)))
    np.testing.assert_allclose(value.loss, (centred**2).sum(1) / (2 * 7), rtol=1e-12)
    np.testing.assert_allclose(gradient(LogitMatching(), STUDENT, TEACHER), centred / 7, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_hard_labels_are_the_cross_entropy_with_smoothed_labels(smoothing):
    wanted = (1 - smoothing) * np.eye(7)[LABELS] + smoothing / 7
    value = HardLabels(smoothing)(torch.tensor(STUDENT), Batch.of_labels(torch.tensor(LABELS)), None)
    np.testing.assert_allclose(value.loss, -(wanted * np.log(softmax(STUDENT))).sum(1), rtol=1e-12)


@pytest.mark.parametrize("temperature", [1, 4, 50])
def test_divergence_is_0_for_equal_logits_and_never_below(temperature):
    same = torch.tensor(TEACHER).float()
    divergence = SoftTargets(temperature)(same, NONE, DenseTargets(same)).beside["kl_to_teacher"]
    assert (divergence >= 0).all()
    assert divergence.max() < 1e-6
    shifted = SoftTargets(temperature)(same + 5, NONE, DenseTargets(same)).beside["kl_to_teacher"]
    assert shifted.max() < 1e-5
