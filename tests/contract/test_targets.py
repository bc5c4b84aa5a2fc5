"""What every kind of targets keeps to. A new kind is one new row in CASES."""

from contextlib import suppress

import pytest
import torch

import instar.targets
from instar.errors import MismatchError
from instar.models import Projected
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, MixtureTargets, ProjectedTargets, Record, Targets

NUMBER, CLASSES = 6, 7
GENERATOR = torch.Generator().manual_seed(0)
STUDENT, TEACHER, OTHER = 2 * torch.randn(3, NUMBER, CLASSES, generator=GENERATOR)
HIDDEN, WEIGHT, BIAS = (torch.randn(*shape, generator=GENERATOR) for shape in ((NUMBER, 3), (CLASSES, 3), (CLASSES,)))


def kept(keep):
    record = Record(Keep.parse(keep), "float32", CLASSES, 1.0)
    return record.decode(record.encode(DenseTargets(TEACHER), Draws(0, torch.arange(NUMBER), 0)))


def projected():
    return ProjectedTargets(Projected(HIDDEN, WEIGHT.clone().requires_grad_(), BIAS))


def mixture():
    return MixtureTargets((DenseTargets(OTHER), projected()), torch.tensor([0.75, 0.25]).log())


CASES = {
    "dense": lambda: DenseTargets(TEACHER),
    "projected": projected,
    "mixture": mixture,
    "largest": lambda: kept("top:3"),
    "drawn": lambda: kept("sample:4"),
}


@pytest.fixture(params=CASES)
def targets(request):
    return CASES[request.param]()


def said(targets, logits):
    """Return all that targets say of examples, by what they are asked, where they do not refuse."""
    asked = {
        "cross_entropy": lambda: targets.cross_entropy(logits, 1.0)[0],
        "entropy": lambda: targets.cross_entropy(logits, 1.0)[1],
        "log_probs": lambda: targets.log_probs(1.0),
        "probs": lambda: targets.softened(1.0)[0],
        "logits": targets.logits,
        "confidence": targets.confidence,
    }
    found = {}
    for name, ask in asked.items():
        with suppress(MismatchError):
            found[name] = ask()
    return found


def assert_same(targets, logits, whole, index):
    found = said(targets, logits[index])
    torch.testing.assert_close(found, {name: values[index] for name, values in whole.items()})


def test_every_kind_is_listed():
    exported = [getattr(instar.targets, name) for name in instar.targets.__all__]
    kinds = {thing for thing in exported if isinstance(thing, type) and issubclass(thing, Targets)} - {Targets}
    assert kinds == {type(make()) for make in CASES.values()}


def test_says_how_many_classes_there_are(targets):
    assert targets.num_classes == CLASSES


def test_what_it_says_of_all_classes_fits_together(targets):
    found = said(targets, STUDENT)
    if "log_probs" not in found:
        assert found.keys() <= {"cross_entropy", "entropy", "confidence"}
        return
    p = found["probs"]
    torch.testing.assert_close(p.sum(-1), torch.ones(NUMBER))
    torch.testing.assert_close(found["log_probs"].exp(), p)
    torch.testing.assert_close(found["logits"].softmax(-1), p)
    torch.testing.assert_close(found["confidence"], p.amax(-1))
    torch.testing.assert_close(found["entropy"], torch.special.entr(p).sum(-1))
    torch.testing.assert_close(found["cross_entropy"], -(p * STUDENT.log_softmax(-1)).sum(-1))


def test_rows_say_what_the_whole_says_of_them(targets):
    whole = said(targets, STUDENT)
    for index in (torch.tensor([4, 0, 4]), torch.tensor([], dtype=torch.int64), slice(1, 4), slice(4, 99)):
        assert_same(targets.rows(index), STUDENT, whole, index)
    assert_same(targets.part(1, 5).part(1, 3), STUDENT, whole, slice(2, 4))


def test_flat_targets_say_of_examples_what_is_said_of_positions(targets):
    positions = targets.rows(torch.arange(NUMBER).view(2, 3))
    assert said(positions, STUDENT.view(2, 3, CLASSES))["entropy"].shape == (2, 3)
    assert_same(positions.flat(), STUDENT, said(targets, STUDENT), slice(None))
    assert_same(targets.flat(), STUDENT, said(targets, STUDENT), slice(None))


def test_parts_that_are_joined_say_what_the_whole_says(targets):
    whole = said(targets, STUDENT)
    assert_same(targets.part(0, 1).joined([targets.part(1, 4), targets.part(4, 6)]), STUDENT, whole, slice(None))
    assert_same(targets.joined([]), STUDENT, whole, slice(None))


def test_no_gradient_goes_to_the_teacher(targets):
    assert not any(values.requires_grad for values in said(targets, STUDENT).values())
    logits = STUDENT.clone().requires_grad_()
    asked = said(targets, logits)
    assert [name for name, values in asked.items() if values.requires_grad] == ["cross_entropy"]
