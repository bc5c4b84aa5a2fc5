"""The two terms of a gradient against closed forms, against autograd, and against each other."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from instar.data import UNLABELLED, Batch
from instar.models import CNN
from instar.objectives import DecoupledKD, HardLabels, LogitMatching, SoftTargets, Standardised
from instar.targets import DenseTargets
from instar.training.gradient_terms import GradientTerms

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.standard_normal((12, 5))
WEIGHTS, TEACHER = RANDOM.standard_normal((2, 4, 5))
LABELS = RANDOM.integers(0, 4, 12)


def softmax(values):
    powers = np.exp(values - values.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def linear():
    model = nn.Linear(5, 4, bias=False).double()
    model.weight.data = torch.tensor(WEIGHTS)
    return model


def measure(model, objective, batch, targets=None):
    """Return the numbers and the two vectors, found in one part."""
    terms = GradientTerms(model)
    logits = model(batch.inputs)
    terms.add(objective(logits, batch, targets)[0] / batch.count(), logits, batch, targets)
    return {name: value.item() for name, value in terms.numbers().items()}, terms.vectors


@pytest.mark.parametrize("has_teacher", [False, True])
def test_cross_entropy_of_a_linear_model_has_its_closed_form(has_teacher):
    student, teacher = softmax(INPUTS @ WEIGHTS.T), softmax(INPUTS @ TEACHER.T)
    one_hot = np.eye(4)[LABELS]
    g = (student - (teacher if has_teacher else one_hot)) / 12
    true, dark = g * one_hot, g * (1 - one_hot)
    batch = Batch(torch.arange(12), 0, torch.tensor(INPUTS), torch.tensor(LABELS))
    objective = 1.0 * (SoftTargets(1) if has_teacher else HardLabels())
    targets = DenseTargets(torch.tensor(INPUTS @ TEACHER.T)) if has_teacher else None
    found, _ = measure(linear(), objective, batch, targets)
    at_weights = [part.T @ INPUTS for part in (true, dark)]
    norms = [np.linalg.norm(part) for part in at_weights]
    wanted = {
        "ground_truth_norm": norms[0],
        "dark_knowledge_norm": norms[1],
        "angle": np.degrees(np.arccos((at_weights[0] * at_weights[1]).sum() / np.prod(norms))),
        "ground_truth_norm_logits": np.linalg.norm(true),
        "dark_knowledge_norm_logits": np.linalg.norm(dark),
        "ground_truth_sum": true.sum(),
        "dark_knowledge_sum": -true.sum(),
        "labelled": 12,
    }
    if has_teacher:
        w = teacher[np.arange(12), LABELS]
        wanted |= {
            "importance_mean": w.mean(),
            "importance_smallest": w.min(),
            "importance_largest": w.max(),
            "effective_share": w.sum() ** 2 / (12 * (w**2).sum()),
        }
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-7)


OBJECTIVES = [
    1.0 * HardLabels(0.1),
    SoftTargets(3) + 0.5 * HardLabels(),
    1.0 * LogitMatching(),
    9 * Standardised(SoftTargets(2)) + 0.1 * DecoupledKD(),
]


def images(size=9):
    """Return a network with dropout, in training, and a batch for it with a teacher."""
    torch.manual_seed(0)
    model = CNN([3, 4], 6, 0.5, input_shape=(1, 8, 8), num_classes=10).train()
    batch = Batch(torch.arange(size), 0, torch.randn(size, 1, 8, 8), torch.randint(10, (size,)))
    return model, batch, DenseTargets(3 * torch.randn(size, 10))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_the_two_terms_add_up_to_the_gradient_of_autograd(objective):
    model, batch, targets = images()
    terms, logits = GradientTerms(model), model(batch.inputs)
    loss = objective(logits, batch, targets)[0] / len(batch)
    terms.add(loss, logits, batch, targets)
    loss.backward()
    whole = torch.cat([weight.grad.reshape(-1) for weight in model.parameters()])
    torch.testing.assert_close(terms.vectors.sum(0), whole, rtol=1e-4, atol=1e-6)
    found = {name: value.item() for name, value in terms.numbers().items()}
    (at_logits,) = torch.autograd.grad(objective(logits := logits.detach().requires_grad_(), batch, targets)[0], logits)
    # orthogonal at the logits: the squares add up, and the sums cancel
    squares = [found[f"{name}_norm_logits"] ** 2 for name in ("ground_truth", "dark_knowledge")]
    assert sum(squares) == pytest.approx((at_logits / len(batch)).square().sum().item(), rel=1e-4)
    assert found["ground_truth_sum"] == pytest.approx(-found["dark_knowledge_sum"], rel=1e-3, abs=1e-6)
    # at the weights they are not: the law of cosines with the angle
    one, other = found["ground_truth_norm"], found["dark_knowledge_norm"]
    square = one**2 + other**2 + 2 * one * other * math.cos(math.radians(found["angle"]))
    assert square == pytest.approx(whole.square().sum().item(), rel=1e-3)


def test_parts_of_a_batch_add_up():
    model, batch, targets = images()
    model.eval()  # with dropout, parts would draw apart
    objective = SoftTargets(2) + HardLabels()
    whole, _ = measure(model, objective, batch, targets)
    terms = GradientTerms(model)
    for start, stop in ((0, 2), (2, 3), (3, 9)):
        part, answers = batch.part(start, stop), targets.rows(torch.arange(start, stop))
        logits = model(part.inputs)
        terms.add(objective(logits, part, answers)[0] / 9, logits, part, answers)
    assert {name: value.item() for name, value in terms.numbers().items()} == pytest.approx(whole, rel=1e-3, abs=1e-6)


def test_examples_without_a_label_are_in_neither_term():
    model = linear()
    labels = torch.tensor(LABELS).index_fill(0, torch.tensor([0, 3, 4]), UNLABELLED)
    batch = Batch(torch.arange(12), 0, torch.tensor(INPUTS), labels)
    targets = DenseTargets(torch.tensor(INPUTS @ TEACHER.T))
    objective = SoftTargets(2) + HardLabels()
    found, _ = measure(model, objective, batch, targets)
    known = labels != UNLABELLED
    kept = Batch(batch.ids[known], 0, batch.inputs[known], labels[known])
    wanted, _ = measure(model, objective, kept, DenseTargets(targets.values[known]))
    # the mean is over all 12 examples
    scaled = {n: v * 9 / 12 if "norm" in n or n.endswith("sum") else v for n, v in wanted.items()}
    assert found == pytest.approx(scaled, rel=1e-5)


def test_without_any_label_there_is_nothing_to_tell():
    batch = Batch(torch.arange(12), 0, torch.tensor(INPUTS), torch.full((12,), UNLABELLED))
    found, vectors = measure(linear(), 1.0 * SoftTargets(2), batch, DenseTargets(torch.tensor(INPUTS @ TEACHER.T)))
    assert (vectors == 0).all()
    assert found["ground_truth_norm"] == found["labelled"] == 0
    assert not any(math.isfinite(found[name]) for name in ("angle", "importance_mean", "importance_smallest"))


def test_positions_that_are_not_valid_are_left_out():
    inputs, labels = torch.tensor(INPUTS).view(4, 3, 5), torch.tensor(LABELS).view(4, 3)
    mask = torch.arange(3) < torch.tensor([[3], [1], [2], [2]])
    targets = DenseTargets(torch.tensor(INPUTS @ TEACHER.T).view(4, 3, 4))
    objective = SoftTargets(2) + HardLabels()
    masked = Batch(torch.arange(4), 0, inputs, torch.where(mask, labels, 999), mask)
    rubbish = DenseTargets(torch.where(mask[..., None], targets.values, float("nan")))
    found, _ = measure(linear(), objective, masked, rubbish)
    flat = Batch(torch.arange(8), 0, inputs[mask], labels[mask])
    wanted, _ = measure(linear(), objective, flat, DenseTargets(targets.values[mask]))
    assert found == pytest.approx(wanted, rel=1e-5)


def test_frozen_and_unused_weights_are_no_trouble():
    model = nn.ModuleDict({"used": linear(), "frozen": linear().requires_grad_(False), "unused": linear()})
    batch = Batch(torch.arange(12), 0, torch.tensor(INPUTS), torch.tensor(LABELS))
    terms = GradientTerms(model)
    logits = model["frozen"](batch.inputs) + model["used"](batch.inputs)
    terms.add((1.0 * HardLabels())(logits, batch, None)[0], logits, batch)
    assert terms.vectors.shape == (2, 40)
    assert (terms.vectors[:, 20:] == 0).all()
    assert (terms.vectors[:, :20] != 0).any()
