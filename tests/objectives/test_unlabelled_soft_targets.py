"""Soft targets for unlabelled examples: together with labels, each example is learnt exactly once."""

import numpy as np
import pytest
import torch
from torch import nn

from instar.data import UNLABELLED, Batch, load_data
from instar.errors import ConfigError, MismatchError
from instar.models import MLP
from instar.objectives import HardLabels, SoftTargets, UnlabelledSoftTargets, parse_objective
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, Record

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = (torch.tensor(values) for values in 3 * RANDOM.standard_normal((2, 16, 7)))
LABELS = torch.tensor(RANDOM.integers(0, 7, 16)).where(torch.arange(16) % 3 > 0, UNLABELLED)
IS_LABELLED = LABELS != UNLABELLED
temperatures = pytest.mark.parametrize("temperature", [0.5, 1, 4])


def gradient(objective, labels=LABELS, targets=None):
    logits = STUDENT.clone().requires_grad_()
    total, sums = objective(logits, Batch.of_labels(labels), targets or DenseTargets(TEACHER))
    (found,) = torch.autograd.grad(total, logits)
    return found, sums


@temperatures
def test_every_example_is_learnt_exactly_once(temperature):
    both, sums = gradient(HardLabels() + UnlabelledSoftTargets(temperature))
    labels, _ = gradient(1.0 * HardLabels())
    soft, _ = gradient(1.0 * SoftTargets(temperature))
    assert torch.equal(both[IS_LABELLED], labels[IS_LABELLED])
    assert torch.equal(both[~IS_LABELLED], soft[~IS_LABELLED])
    assert (both != 0).any(1).all()
    assert sums["loss"] == sums["hard_labels"] + sums["unlabelled_soft_targets"]


@temperatures
def test_gradients_are_those_of_the_formulas(temperature):
    both, _ = gradient(HardLabels() + UnlabelledSoftTargets(temperature))
    taught = temperature * (torch.softmax(STUDENT / temperature, 1) - torch.softmax(TEACHER / temperature, 1))
    labelled = torch.softmax(STUDENT, 1) - torch.eye(7)[LABELS]
    torch.testing.assert_close(both, torch.where(IS_LABELLED[:, None], labelled, taught))


def test_what_is_recorded_is_of_the_unlabelled_examples_alone():
    _, sums = gradient(HardLabels() + UnlabelledSoftTargets(2))
    teacher, student = torch.log_softmax(TEACHER / 2, 1), torch.log_softmax(STUDENT / 2, 1)
    divergence = (teacher.exp() * (teacher - student)).sum(1)
    torch.testing.assert_close(sums["kl_to_teacher"], divergence[~IS_LABELLED].sum())


def test_the_teacher_of_a_labelled_example_may_predict_anything():
    said = torch.where(IS_LABELLED[:, None], 99 * torch.eye(7)[RANDOM.integers(0, 7, 16)], TEACHER)
    objective = HardLabels() + UnlabelledSoftTargets(2)
    assert torch.equal(gradient(objective)[0], gradient(objective, targets=DenseTargets(said))[0])


@pytest.mark.parametrize("labels", [torch.zeros(16, dtype=torch.int64), torch.full((16,), UNLABELLED)])
def test_with_all_labels_or_none_it_is_one_of_the_two(labels):
    both, _ = gradient(HardLabels() + UnlabelledSoftTargets(2), labels)
    alone, _ = gradient(1.0 * HardLabels() if (labels == 0).all() else 1.0 * SoftTargets(2), labels)
    assert torch.equal(both, alone)


@pytest.mark.parametrize("keep", ["top:3", "sample:4"])
@pytest.mark.parametrize("keep_logits", [True, False])
def test_sparse_targets_that_may_overwrite_the_logits_leave_labelled_examples_alone(keep, keep_logits):
    record = Record(Keep.parse(keep), "float32", 7, 2.0)
    targets = record.decode(record.encode(DenseTargets(TEACHER.float()), Draws(0, torch.arange(16), 0)))
    layer, inputs = nn.Linear(5, 7), torch.randn(16, 5, generator=torch.Generator().manual_seed(0))

    def found(objective, labels):
        layer.zero_grad()
        objective(layer(inputs), Batch.of_labels(labels), targets, keep_logits=keep_logits)[0].backward()
        return layer.weight.grad.clone()

    logits = layer(inputs).detach().requires_grad_()
    losses = SoftTargets(2)(logits, Batch.of_labels(LABELS), targets).loss
    (by_row,) = torch.autograd.grad(losses[~IS_LABELLED].sum(), logits)
    torch.testing.assert_close(found(1.0 * UnlabelledSoftTargets(2), LABELS), by_row.T @ inputs)
    assert (found(1.0 * UnlabelledSoftTargets(2), LABELS.clamp(min=0)) == 0).all()


def test_a_specialist_is_trained_by_it(tmp_path):
    data = load_data("digits", subset=200)
    teacher = train(data, MLP([16]), out=tmp_path / "teacher", epochs=5, learning_rate=0.02)
    special = data.select(special_classes=["3", "8"], rest="unlabelled")
    objective = "HardLabels() + UnlabelledSoftTargets(1)"
    settings = {"epochs": 3, "batch_size": 16, "learning_rate": 0.02, "log_every": 1}
    runs = [
        distill(special, teacher, MLP([16]), objective=objective, targets=kept, out=tmp_path / kept, **settings)
        for kept in ("online", "memory")
    ]
    for line in (line for line in runs[0].history() if line["kind"] == "train"):
        assert line["loss"] == pytest.approx(line["hard_labels"] + line["unlabelled_soft_targets"], rel=1e-5)
        assert line["hard_labels"] > 0
        assert line["unlabelled_soft_targets"] > 0
    first, second = (run.model.state_dict() for run in runs)
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_it_needs_a_teacher_and_a_temperature(tmp_path):
    with pytest.raises(MismatchError, match="UnlabelledSoftTargets needs a teacher, but the run has none"):
        train("digits", MLP([4]), objective="UnlabelledSoftTargets(2)", out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"must be greater than 0, got 0"):
        parse_objective("UnlabelledSoftTargets(0)")
