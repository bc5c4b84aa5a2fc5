"""Sparse targets at the limits of float32: confident students, an empty rest, and padding classes."""

import math

import pytest
import torch

from instar.compute.tiling import use_tile_bytes
from instar.targets import SparseTargets

tiles = pytest.mark.parametrize("tile", [1, 1 << 20])


@pytest.fixture
def asked(tile):
    """Return loss and gradient, with tiles of that many bytes."""

    def ask(targets, logits, temperature=1.0):
        logits = torch.as_tensor(logits).clone().requires_grad_()
        loss, _ = targets.cross_entropy(logits, temperature)
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert torch.isfinite(logits.grad).all()
        return loss.detach(), logits.grad

    with use_tile_bytes(cached=tile):
        yield ask


def targets_of(ids, kept, classes, temperature=1.0):
    ids, kept = torch.tensor(ids), torch.tensor(kept)
    return SparseTargets(ids, kept, torch.special.entr(kept).sum(-1), classes, temperature)


@tiles
def test_a_student_that_is_sure_of_the_first_class_is_pulled_to_the_rest(asked):
    targets = targets_of([[0]] * 4, [[0.25, 0.75]] * 4, 4)
    gaps = [10.0, 50.0, 1000.0, 1e30]
    loss, gradient = asked(targets, [[gap, 0.0, 0.0, 0.0] for gap in gaps])
    # q of the rest is 3 exp(-gap), which is 0 in float32 from the third on
    expected = torch.tensor([0.75 * (gap - math.log(3)) for gap in gaps])
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient[:, 0], torch.full((4,), 0.75), rtol=1e-3, atol=0)
    torch.testing.assert_close(gradient[:, 1:], torch.full((4, 3), -0.25), rtol=1e-3, atol=0)


@tiles
def test_a_student_that_is_sure_of_the_rest_is_pulled_to_the_kept_classes(asked):
    targets = targets_of([[0, 2]] * 3, [[0.5, 0.25, 0.25]] * 3, 4)
    loss, gradient = asked(targets, [[0.0, 10.0, 0.0, 0.0], [0.0, 1000.0, 0.0, 0.0], [-1e30, 1e30, 0.0, 0.0]])
    assert loss[0].item() == pytest.approx(0.75 * 10, rel=1e-3)
    assert (gradient[:, [0, 2]] < 0).all()
    torch.testing.assert_close(gradient[:, [0, 2]], torch.tensor([[-0.5, -0.25]]).expand(3, 2), rtol=1e-3, atol=0)
    torch.testing.assert_close(gradient[:, 1], torch.full((3,), 0.75), rtol=1e-3, atol=0)


@tiles
def test_digits_of_a_rest_far_below_rounding_are_kept(asked):
    # q of the rest is 3 exp(-40): 1 - q_0 would be 0 in float32
    targets = targets_of([[0]], [[1 - 1e-6, 1e-6]], 4)
    loss, gradient = asked(targets, [[40.0, 0.0, 0.0, 0.0]])
    assert loss.item() == pytest.approx(1e-6 * (40 - math.log(3)), rel=1e-3)
    torch.testing.assert_close(gradient[:, 1:], torch.full((1, 3), -1e-6 / 3), rtol=1e-4, atol=0)


@tiles
@pytest.mark.parametrize("gap", [0.0, 5.0, 1000.0])
def test_without_a_rest_the_student_is_told_to_leave_the_other_classes(asked, gap):
    targets = targets_of([[0, 1]], [[0.5, 0.5, 0.0]], 4)
    loss, gradient = asked(targets, [[gap, gap, 0.0, 0.0]])
    of_others = math.exp(-gap) / (2 + 2 * math.exp(-gap))
    assert loss.item() == pytest.approx(-math.log(0.5 - of_others), rel=1e-5)
    torch.testing.assert_close(gradient[:, 2:], torch.full((1, 2), of_others), rtol=1e-4, atol=1e-30)


@tiles
def test_all_classes_without_a_rest_are_finite(asked):
    targets = targets_of([[2, 0, 1]], [[0.5, 0.3, 0.2, 0.0]], 3)
    _, gradient = asked(targets, [[0.0, 0.0, 0.0]])
    torch.testing.assert_close(gradient, torch.tensor([[1 / 3 - 0.3, 1 / 3 - 0.2, 1 / 3 - 0.5]]))
    asked(targets, [[1e4, -1e4, 0.0]])


@tiles
@pytest.mark.parametrize("drawn", [False, True])
def test_padding_classes_with_logits_of_minus_infinity_get_no_gradient(asked, drawn):
    kept = [[0.5, 0.5]] if drawn else [[0.5, 0.25, 0.25]]
    finite, expected = asked(targets_of([[1, 0]], kept, 4), [[1.0, 2.0, 3.0, 0.5]])
    padded = targets_of([[1, 0]], kept, 6)
    loss, gradient = asked(padded, [[1.0, 2.0, 3.0, 0.5, -torch.inf, -torch.inf]])
    torch.testing.assert_close(loss, finite)
    torch.testing.assert_close(gradient[:, :4], expected)
    assert (gradient[:, 4:] == 0).all()


@tiles
def test_a_kept_class_that_the_student_has_ruled_out_is_finite(asked):
    loss, gradient = asked(targets_of([[0]], [[0.5, 0.5]], 3), [[-1e6, 0.0, 0.0]])
    assert loss.item() == pytest.approx(0.5 * (1e6 + math.log(2)))
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.25, 0.25]]))


@tiles
def test_a_drawn_class_that_the_student_has_ruled_out_is_finite(asked):
    loss, gradient = asked(targets_of([[0, 1]], [[0.5, 0.5]], 3), [[-1e6, 0.0, 0.0]])
    assert loss.item() == pytest.approx(0.5 * 1e6 + math.log(2))
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.0, 0.5]]))


@tiles
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4, 1e30])
def test_random_logits_of_any_size_are_finite(asked, scale):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(64, 10, generator=generator)
    p = torch.softmax(3 * torch.randn(64, 10, generator=generator), -1).sort(-1, descending=True)
    kept = torch.cat([p.values[:, :3], p.values[:, 3:].sum(-1, keepdim=True)], -1)
    loss, gradient = asked(SparseTargets(p.indices[:, :3], kept, torch.zeros(64), 10, 0.5), logits, 0.5)
    assert (loss >= 0).all()
    assert (gradient.abs() <= 2.0).all()  # |Q - P| / T
