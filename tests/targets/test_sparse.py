"""The loss of a few classes and a bucket, compared with the loss of all classes and with loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instar.compute.tiling import use_tile_bytes
from instar.targets import DenseTargets, SparseTargets

SHAPES = [(6,), (3, 4)]
TEMPERATURES = [0.5, 1.0, 2.5, 20.0]


def example(shape=(6,), classes=7, seed=0, scale=3.0):
    """Return the logits of a student and of a teacher, float64."""
    student, teacher = scale * np.random.default_rng(seed).standard_normal((2, *shape, classes))
    return torch.tensor(student, requires_grad=True), torch.tensor(teacher)


def largest(teacher, k, temperature):
    """Return targets of the k largest classes, without a record."""
    p = np.exp((teacher.numpy() - teacher.numpy().max(-1, keepdims=True)) / temperature)
    p /= p.sum(-1, keepdims=True)
    ids = np.argsort(-p, -1)
    ordered = np.take_along_axis(p, ids, -1)
    kept = np.concatenate([ordered[..., :k], ordered[..., k:].sum(-1, keepdims=True)], -1)
    entropy = -(kept * np.log(np.where(kept > 0, kept, 1))).sum(-1)
    ids, kept, entropy = torch.tensor(ids[..., :k]), torch.tensor(kept), torch.tensor(entropy)
    return SparseTargets(ids, kept, entropy, p.shape[-1], temperature)


def gradient(loss, logits):
    weights = torch.linspace(-1, 2, loss.numel(), dtype=loss.dtype).view(loss.shape)  # examples must not be mixed up
    return torch.autograd.grad((weights * loss).sum(), logits)[0]


def loss_by_loops(logits, targets, temperature):
    """Return -sum_b P_b log Q_b over k + 1 buckets, filled class by class."""
    classes = logits.shape[-1]
    found = []
    rows = zip(logits.reshape(-1, classes), targets.ids.flatten(0, -2), targets.kept.flatten(0, -2), strict=True)
    for z, ids, kept in rows:
        weights = [math.exp(float(value) / temperature) for value in z]
        buckets = [0.0] * len(kept)
        for c, weight in enumerate(weights):
            buckets[ids.tolist().index(c) if c in ids else len(ids)] += weight / math.fsum(weights)
        found.append(-math.fsum(float(p) * math.log(q) for p, q in zip(kept, buckets, strict=True) if p > 0))
    return torch.tensor(found, dtype=logits.dtype).view(logits.shape[:-1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_with_all_classes_loss_and_gradient_are_those_of_all_classes(shape, temperature):
    logits, teacher = example(shape)
    found, entropy = largest(teacher, 7, temperature).cross_entropy(logits, temperature)
    log_p, log_q = (torch.log_softmax(values / temperature, -1) for values in (teacher, logits))
    plain = -(log_p.exp() * log_q).sum(-1)
    dense, dense_entropy = DenseTargets(teacher).cross_entropy(logits, temperature)
    slope = gradient(found, logits)
    for one, other in [(found, plain), (found, dense)]:
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(slope, gradient(other, logits), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(entropy, dense_entropy, rtol=1e-11, atol=1e-12)
    assert found.shape == entropy.shape == shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_loss_is_the_cross_entropy_of_k_classes_and_a_bucket(shape, k, temperature):
    logits, teacher = example(shape, seed=1)
    targets = largest(teacher, k, temperature)
    found, entropy = targets.cross_entropy(logits, temperature)
    torch.testing.assert_close(found, loss_by_loops(logits.detach(), targets, temperature), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(entropy, torch.special.entr(targets.kept).sum(-1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("k", [1, 3, 6, 7])
@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_gradient_equals_finite_differences(shape, k, temperature):
    logits, teacher = example(shape, seed=2, scale=1.0)
    targets = largest(teacher, k, temperature)
    assert torch.autograd.gradcheck(lambda z: targets.cross_entropy(z, temperature)[0], logits)


def test_gradient_of_the_rest_is_shared_by_what_the_student_thinks():
    targets = SparseTargets(torch.tensor([[1]]), torch.tensor([[0.5, 0.5]]), torch.tensor([math.log(2)]), 4, 1.0)
    logits = torch.tensor([[0.0, 0.0, math.log(2), 0.0]], requires_grad=True)  # q = 1/5, 1/5, 2/5, 1/5
    loss, _ = targets.cross_entropy(logits, 1.0)
    assert loss.item() == pytest.approx(-0.5 * math.log(1 / 5) - 0.5 * math.log(4 / 5))
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.3 / 4, -0.3, 0.3 / 2, 0.3 / 4]]))


@pytest.mark.parametrize("shape", [(11,), (3, 4)], ids=str)
@pytest.mark.parametrize("k", [2, 7])
@pytest.mark.parametrize("classes", [7, 40])  # short rows are worked on across examples
def test_tiles_change_nothing(shape, k, classes):
    logits, teacher = example(shape, classes, seed=3)
    targets = largest(teacher, k, 2.0)
    whole = targets.cross_entropy(logits, 2.0)[0]
    expected = gradient(whole, logits)
    cuts = []
    for rows in (1, 3, 5):
        with use_tile_bytes(cached=rows * classes * 8):
            cuts.append(targets.cross_entropy(logits, 2.0)[0])
            found = gradient(cuts[-1], logits)
        torch.testing.assert_close(cuts[-1], whole, rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-16)
    assert torch.equal(cuts[0], cuts[1])
    assert torch.equal(cuts[0], cuts[2])


@pytest.mark.parametrize("tile", [1, 1 << 20])
def test_a_gradient_can_be_computed_twice(tile):
    logits, teacher = example()
    with use_tile_bytes(cached=tile):
        loss = largest(teacher, 2, 2.0).cross_entropy(logits, 2.0)[0].sum()
        one, other = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(one, other)


def test_logits_that_are_not_contiguous_are_the_same():
    logits, teacher = example((3, 4))
    targets = largest(teacher, 2, 1.0)
    turned = logits.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_()
    assert not turned.is_contiguous()
    expected, found = (targets.cross_entropy(values, 1.0)[0] for values in (logits, turned))
    assert torch.equal(found, expected)
    assert torch.equal(gradient(found, turned), gradient(expected, logits))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(2, 12), st.data())
def test_divergence_is_at_least_0_and_at_most_that_of_all_classes(classes, data):
    k = data.draw(st.integers(1, classes))
    temperature = data.draw(st.sampled_from([0.5, 1.0, 3.0]))
    scale = data.draw(st.sampled_from([0.01, 1.0, 20.0]))
    logits, teacher = example((5,), classes, data.draw(st.integers(0, 2**20)), scale)
    found, entropy = largest(teacher, k, temperature).cross_entropy(logits.detach(), temperature)
    log_p, log_q = (torch.log_softmax(values / temperature, -1) for values in (teacher, logits.detach()))
    of_all = (log_p.exp() * (log_p - log_q)).sum(-1)
    rounding = 1e-12 * (1 + of_all)
    assert (found - entropy >= -rounding).all()
    assert (found - entropy <= of_all + rounding).all()
    if k >= classes - 1:  # a bucket of one class is that class
        torch.testing.assert_close(found - entropy, of_all, rtol=1e-10, atol=1e-11)


def test_divergence_is_0_for_the_teacher_itself_and_for_any_other_split_of_the_rest():
    _, teacher = example(classes=7)
    targets = largest(teacher, 3, 1.0)
    log_p = torch.log_softmax(teacher, -1)
    even = (targets.rest / 4).log()[:, None].expand(-1, 7).scatter(1, targets.ids, log_p.gather(1, targets.ids))
    for logits in (teacher, even):
        found, entropy = targets.cross_entropy(logits, 1.0)
        torch.testing.assert_close(found, entropy)
