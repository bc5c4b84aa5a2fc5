"""Labels weighted by a teacher's confidence: the weights, and their sum over a whole batch."""

import numpy as np
import pytest
import torch

from instar.data import UNLABELLED, Batch, load_data
from instar.models import MLP
from instar.objectives import ConfidenceWeighted, HardLabels
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.targets import DenseTargets

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = 4 * RANDOM.standard_normal((2, 16, 7))
LABELS = RANDOM.integers(0, 7, 16)
DIGITS = load_data("digits", subset=60)
OBJECTIVE = 1.0 * ConfidenceWeighted()


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_is_the_sum_over_the_batch_of_normalised_weights_times_cross_entropy():
    weights = softmax(TEACHER).max(1)  # of its own answer, right or wrong
    losses = -np.log(softmax(STUDENT))[np.arange(16), LABELS]
    batch = Batch.of_labels(torch.tensor(LABELS))
    total, sums = OBJECTIVE(torch.tensor(STUDENT), batch, DenseTargets(torch.tensor(TEACHER)))
    assert total.item() / 16 == pytest.approx((weights / weights.sum() * losses).sum(), rel=1e-6)
    assert sums["teacher_confidence"].item() / 16 == pytest.approx(weights.mean(), rel=1e-6)


@pytest.mark.parametrize("unlabelled", [0, 5])
def test_weights_sum_to_one_per_batch(unlabelled):
    labels = torch.tensor(LABELS)
    labels[:unlabelled] = UNLABELLED
    logits = torch.zeros(16, 7, dtype=torch.float64, requires_grad=True)
    batch = Batch.of_labels(labels)
    total, _ = OBJECTIVE(logits, batch, DenseTargets(torch.tensor(TEACHER)))
    (gradient,) = torch.autograd.grad(total, logits)
    # the gradient at the label is w (1/7 - 1), so the weights can be read from it; the loop divides by 16
    known = labels != UNLABELLED
    weights = gradient[known, labels[known]] / (1 / 7 - 1)
    assert weights.sum().item() == pytest.approx(16 - unlabelled, rel=1e-6)
    confidences = softmax(TEACHER).max(1)[unlabelled:]
    np.testing.assert_allclose(weights / weights.sum(), confidences / confidences.sum(), rtol=1e-6)
    assert (gradient[~known] == 0).all()


def test_equal_weights_are_plain_cross_entropy_and_unlabelled_examples_are_left_out():
    equally_sure = torch.tensor(RANDOM.permuted(np.tile([5.0, 1, 0, 0, 0, 0, 0], (16, 1)), axis=1))
    logits, labels = torch.tensor(STUDENT), torch.tensor(LABELS)
    labels[::3] = UNLABELLED
    batch = Batch.of_labels(labels)
    weighed, _ = OBJECTIVE(logits, batch, DenseTargets(equally_sure))
    plain, _ = (1.0 * HardLabels())(logits, batch, None)
    torch.testing.assert_close(weighed, plain, rtol=1e-6, atol=0)
    # whatever the teacher says about examples without a label
    without = torch.where((labels == UNLABELLED)[:, None], 99 * torch.eye(7)[LABELS], equally_sure)
    torch.testing.assert_close(OBJECTIVE(logits, batch, DenseTargets(without))[0], weighed, rtol=1e-6, atol=0)


@pytest.mark.parametrize("objective", ["ConfidenceWeighted()", "Standardised(ConfidenceWeighted()) + SoftTargets(2)"])
@pytest.mark.parametrize("hidden", [0.0, 0.5])
def test_a_batch_in_parts_trains_like_a_whole_one(tmp_path, hidden, objective):
    data = DIGITS.select(drop_labels=hidden) if hidden else DIGITS
    teacher = train(DIGITS, MLP([8]), out=tmp_path / "teacher", epochs=3, learning_rate=0.02)
    settings = {"objective": objective, "epochs": 2, "batch_size": 30, "optimiser": "sgd", "learning_rate": 0.1}
    whole, parts = (
        distill(data, teacher, MLP([8]), out=tmp_path / str(n), micro_batches=n, log_every=1, **settings)
        for n in (1, 7)
    )
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    losses = [[line["loss"] for line in run.history() if line["kind"] == "train"] for run in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
