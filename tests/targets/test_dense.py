"""Targets of all classes, and mixtures of them."""

import numpy as np
import pytest
import torch

from instar.compute.tiling import use_tile_bytes
from instar.errors import MismatchError
from instar.targets import DenseTargets, MixtureTargets

STUDENT, *TEACHERS = torch.tensor(2 * np.random.default_rng(0).standard_normal((4, 6, 5)))
LOG_WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
MIXTURE = MixtureTargets(tuple(map(DenseTargets, TEACHERS)), LOG_WEIGHTS)
kinds = pytest.mark.parametrize("targets", [DenseTargets(TEACHERS[0]), MIXTURE], ids=["dense", "mixture"])
temperatures = pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])


@pytest.fixture(autouse=True, params=[1, 2 * 5 * 8, 1 << 20], ids="tile of {} bytes".format)
def tile(request):
    """Run each test with tiles of one row, with tiles of two rows, and without tiles."""
    with use_tile_bytes(cached=request.param):
        yield


def probabilities(targets, temperature):
    """Return p^T by its formula in NumPy."""
    if isinstance(targets, MixtureTargets):
        weights = np.exp(targets.log_weights.numpy())
        parts = [probabilities(part, temperature) for part in targets.parts]
        return sum(w * p for w, p in zip(weights, parts, strict=True))
    powers = np.exp(targets.values.numpy() / temperature)
    return powers / powers.sum(-1, keepdims=True)


@kinds
@temperatures
def test_cross_entropy_and_entropy_are_their_formulas(targets, temperature):
    p, q = probabilities(targets, temperature), probabilities(DenseTargets(STUDENT), temperature)
    loss, entropy = targets.cross_entropy(STUDENT, temperature)
    np.testing.assert_allclose(loss, -(p * np.log(q)).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(-1), rtol=1e-12)


@kinds
@temperatures
@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5), (5,)], ids=str)
def test_gradient_equals_finite_differences(targets, temperature, shape):
    index = torch.arange(6).view(shape[:-1]) if len(shape) > 1 else torch.tensor(4)
    rows, logits = targets.rows(index), STUDENT[index].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: rows.cross_entropy(z, temperature)[0], logits)


@kinds
@temperatures
def test_gradient_is_that_of_plain_autograd(targets, temperature):
    logits, weights = STUDENT.clone().requires_grad_(), torch.linspace(-1, 2, 6)
    plain = -(torch.tensor(probabilities(targets, temperature)) * torch.log_softmax(logits / temperature, -1)).sum(-1)
    (expected,) = torch.autograd.grad((weights * plain).sum(), logits)
    (found,) = torch.autograd.grad((weights * targets.cross_entropy(logits, temperature)[0]).sum(), logits)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@kinds
def test_a_gradient_can_be_computed_twice(targets):
    logits = STUDENT.clone().requires_grad_()
    loss = targets.cross_entropy(logits, 2.0)[0].sum()
    one, other = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(one, other, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_a_student_that_is_its_teacher_is_at_no_distance_whatever_is_added_to_its_logits(shift):
    teacher = torch.randn(3, 40, generator=torch.Generator().manual_seed(0))
    loss, entropy = DenseTargets(teacher).cross_entropy(teacher + shift, 2.0)
    p = probabilities(DenseTargets(teacher.double()), 2.0)
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(-1), rtol=1e-6)
    np.testing.assert_allclose(loss - entropy, 0, atol=1e-6 if shift == 0 else 1e-4)


def test_classes_without_mass_may_be_minus_infinity():
    teacher, student = torch.tensor([[2.0, 1.0, -torch.inf]]), torch.tensor([[0.5, 1.5, -9.0]])
    loss, entropy = DenseTargets(teacher).cross_entropy(student, 1.0)
    p, q = teacher.softmax(1)[:, :2].double(), student.double().softmax(1)[:, :2]
    torch.testing.assert_close(entropy.double(), -(p * p.log()).sum(1))
    torch.testing.assert_close(loss.double(), -(p * q.log()).sum(1))


@kinds
def test_no_gradient_goes_to_the_teacher(targets):
    assert not targets.cross_entropy(STUDENT, 2.0)[0].requires_grad
    _, entropy = targets.cross_entropy(STUDENT.clone().requires_grad_(), 2.0)
    assert not entropy.requires_grad


@kinds
def test_numbers_come_in_the_type_of_the_student(targets):
    for dtype in (torch.float32, torch.float64):
        assert {found.dtype for found in targets.cross_entropy(STUDENT.to(dtype), 2.0)} == {dtype}


@kinds
@temperatures
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_part_is_what_would_be_computed_for_it_alone(targets, temperature, asked_before):
    whole = targets.rows(torch.arange(6))
    if asked_before:
        whole.softened(3.0)
        whole.softened(temperature)
    alone = targets.rows(torch.arange(2, 5))
    for part in (whole.part(2, 5), whole.part(1, 6).part(1, 4)):
        for one, other in zip(part.softened(temperature), alone.softened(temperature), strict=True):
            torch.testing.assert_close(one, other)
        torch.testing.assert_close(part.log_probs(temperature), alone.log_probs(temperature))
        torch.testing.assert_close(part.logits(), alone.logits())
        torch.testing.assert_close(part.confidence(), alone.confidence())


def test_what_was_computed_for_the_whole_is_not_computed_again_for_a_part():
    whole = DenseTargets(TEACHERS[0])
    p, entropy = whole.part(1, 3).softened(2.0)
    again, entropy_again = whole.softened(2.0)
    assert p.data_ptr() == again[1].data_ptr()
    assert entropy.data_ptr() == entropy_again[1].data_ptr()


@kinds
def test_parts_that_are_joined_are_the_whole(targets):
    joined = targets.part(0, 1).joined([targets.part(1, 4), targets.part(4, 6)])
    torch.testing.assert_close(joined.log_probs(2.0), targets.log_probs(2.0), rtol=0, atol=0)
    one, other = (answers.cross_entropy(STUDENT, 2.0) for answers in (joined, targets))
    torch.testing.assert_close(one, other, rtol=1e-14, atol=0)  # tiles of other rows may add in another order


def test_a_mixture_is_averaged_at_the_requested_temperature():
    at_2 = torch.softmax(MIXTURE.logits() / 2, -1)
    assert (at_2 - MIXTURE.log_probs(2.0).exp()).abs().max() > 0.01
    np.testing.assert_allclose(MIXTURE.log_probs(2.0).exp(), probabilities(MIXTURE, 2.0), rtol=1e-12)


@kinds
def test_confidence_is_the_largest_probability_at_temperature_1(targets):
    np.testing.assert_allclose(targets.confidence(), probabilities(targets, 1.0).max(-1), rtol=1e-12)


def test_stored_targets_of_a_mixture_hold_at_its_temperature():
    kept = DenseTargets(3 * MIXTURE.log_probs(3.0), temperature=3.0)
    torch.testing.assert_close(kept.log_probs(3.0), MIXTURE.log_probs(3.0))
    torch.testing.assert_close(kept.part(1, 3).softened(3.0)[0], MIXTURE.log_probs(3.0)[1:3].exp())


BOUND = DenseTargets(TEACHERS[0], temperature=3.0)


@pytest.mark.parametrize(
    "bound",
    [BOUND, BOUND.part(0, 2), BOUND.rows(torch.tensor([1])), BOUND.joined([BOUND])],
    ids=["whole", "part", "rows", "joined"],
)
def test_another_temperature_is_refused_and_both_are_named(bound):
    sentence = (
        r"stored at temperature 3, but the objective needs {};.*store the logits of one network or of a geometric mean"
    )
    for ask in (bound.log_probs, bound.softened, lambda t: bound.cross_entropy(STUDENT[: len(bound.values)], t)):
        with pytest.raises(MismatchError, match=sentence.format(r"1\.5")):
            ask(1.5)
    for ask in (bound.logits, bound.confidence):
        with pytest.raises(MismatchError, match=sentence.format("1")):
            ask()
