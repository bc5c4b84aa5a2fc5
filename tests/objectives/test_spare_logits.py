"""The gradient overwrites the logits, but only if nothing reads them later."""

import pytest
import torch
from torch import nn

from instar.compute.tiling import use_tile_bytes
from instar.data import Batch
from instar.objectives import HardLabels, SoftTargets
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, Record

CLASSES, NUMBER = 40, 30


@pytest.fixture(autouse=True)
def _tiles_of_a_few_rows():
    with use_tile_bytes(loss=7 * CLASSES * 4):
        yield


@pytest.fixture
def parts():
    torch.manual_seed(0)
    inputs, layer = torch.randn(NUMBER, 5), nn.Linear(5, CLASSES)
    answers = DenseTargets(torch.randn(NUMBER, CLASSES))
    return inputs, layer, answers, Batch.of_labels(torch.randint(CLASSES, (NUMBER,)))


def kept(answers, keep="top:4"):
    record = Record(Keep.parse(keep), "float32", CLASSES, 2.0)
    return record.decode(record.encode(answers, Draws(0, torch.arange(NUMBER), 0)))


def gradients(objective, logits, layer, batch, targets, keep_logits):
    layer.zero_grad()
    before = logits.detach().clone()
    objective(logits, batch, targets, keep_logits=keep_logits)[0].backward()
    return layer.weight.grad.clone(), torch.equal(before, logits.detach())


@pytest.mark.parametrize("keep", ["all", "top:4", "sample:6"])
@pytest.mark.parametrize("objective", [1.0 * SoftTargets(2), SoftTargets(2) + 0.5 * HardLabels()], ids=repr)
def test_the_gradient_is_the_same_and_overwrites_the_logits(parts, objective, keep):
    inputs, layer, answers, batch = parts
    targets = kept(answers, keep)
    expected, is_kept = gradients(objective, layer(inputs), layer, batch, targets, keep_logits=True)
    assert is_kept
    found, is_kept = gradients(objective, layer(inputs), layer, batch, targets, keep_logits=False)
    assert not is_kept
    assert torch.equal(found, expected)


@pytest.mark.parametrize("bias", [True, False])
def test_logits_of_positions_are_overwritten_too(parts, bias):
    inputs, layer, answers, batch = parts
    layer = nn.Linear(5, CLASSES, bias=bias)
    batch = Batch.of_labels(batch.labels.view(10, 3))
    targets = DenseTargets(answers.values.view(10, 3, CLASSES))
    logits = [layer(inputs.view(10, 3, 5)) for _ in range(2)]
    expected, _ = gradients(1.0 * SoftTargets(2), logits[0], layer, batch, targets, keep_logits=True)
    found, is_kept = gradients(1.0 * SoftTargets(2), logits[1], layer, batch, targets, keep_logits=False)
    assert not is_kept
    assert torch.equal(found, expected)


def test_a_gradient_that_was_made_in_place_is_not_given_twice(parts):
    inputs, layer, answers, batch = parts
    loss, _ = (1.0 * SoftTargets(2))(layer(inputs), batch, answers, keep_logits=False)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("keep", ["all", "top:4"])
@pytest.mark.parametrize("last", [nn.Tanh(), nn.Softplus()])
def test_logits_that_a_backward_pass_reads_are_kept(
    parts, last, keep
):  # their backward passes look at what they returned
    inputs, layer, answers, batch = parts
    objective, targets = 1.0 * SoftTargets(2), kept(answers, keep)
    expected, _ = gradients(objective, last(layer(inputs)), layer, batch, targets, keep_logits=True)
    found, is_kept = gradients(objective, last(layer(inputs)), layer, batch, targets, keep_logits=False)
    assert is_kept
    assert torch.equal(found, expected)


def test_logits_of_another_type_are_copied_and_the_copy_is_spent(parts):
    inputs, layer, answers, batch = parts
    logits = torch.tanh(layer(inputs)).bfloat16()
    _, is_kept = gradients(1.0 * SoftTargets(2), logits, layer, batch, kept(answers), keep_logits=False)
    assert is_kept


def test_a_leaf_is_kept(parts):
    *_, answers, batch = parts
    logits = torch.randn(NUMBER, CLASSES, requires_grad=True)
    before = logits.detach().clone()
    (1.0 * SoftTargets(2))(logits, batch, kept(answers), keep_logits=False)[0].backward()
    assert torch.equal(before, logits.detach())
