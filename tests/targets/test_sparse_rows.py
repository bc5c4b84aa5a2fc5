"""Sparse targets: what they refuse, their parts, and their terms."""

from itertools import pairwise

import pytest
import torch

from instar.data import Batch
from instar.errors import MismatchError
from instar.objectives import HardLabels, SoftTargets
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, Record, SparseTargets

GENERATOR = torch.Generator().manual_seed(0)
TEACHER, STUDENT = 2 * torch.randn(2, 8, 3, 9, generator=GENERATOR)
LABELS = torch.randint(9, (8, 3), generator=GENERATOR)
MASK = torch.rand(8, 3, generator=GENERATOR) < 0.6


def kept(keep="top:3", temperature=2.0):
    record = Record(Keep.parse(keep), "float32", 9, temperature)
    return record.decode(record.encode(DenseTargets(TEACHER), Draws(0, torch.arange(8), 0)))


def same(one, other):
    assert (one.num_classes, one.temperature) == (other.num_classes, other.temperature)
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("ids", "kept", "entropy"))


@pytest.mark.parametrize("keep", ["top:3", "sample:3"])
def test_dense_rows_are_refused(keep):
    for ask in (lambda t: t.log_probs(2.0), lambda t: t.logits(), lambda t: t.softened(2.0)):
        with pytest.raises(
            MismatchError,
            match=r"have 3 (of|draws from) 9 classes, but the objective needs all; store all \(keep=all\)\.",
        ):
            ask(kept(keep))


def test_another_temperature_is_refused_and_both_are_named():
    with pytest.raises(
        MismatchError, match=r"stored at temperature 2, but the objective needs 4; make the store at that"
    ):
        kept().cross_entropy(STUDENT, 4.0)
    with pytest.raises(MismatchError, match=r"stored at temperature 0\.5, but the objective needs 1;"):
        SoftTargets(1)(STUDENT, Batch.of_labels(LABELS), kept(temperature=0.5))


def test_confidence_is_the_largest_probability_at_temperature_1():
    torch.testing.assert_close(kept(temperature=1.0).confidence(), torch.softmax(TEACHER, -1).amax(-1))


def test_confidence_at_another_temperature_is_refused():
    with pytest.raises(MismatchError, match="stored at temperature 2, but the objective needs 1;"):
        kept().confidence()


def test_confidence_of_drawn_classes_is_refused():
    with pytest.raises(MismatchError, match=r"the objective needs all; store all \(keep=all\)"):
        kept("sample:3", temperature=1.0).confidence()


@pytest.mark.parametrize("keep", ["top:3", "sample:3"])
def test_rows_and_parts_are_those_of_the_tensors(keep):
    targets, index = kept(keep), torch.tensor([5, 0, 0, 7])
    expected = SparseTargets(targets.ids[index], targets.kept[index], targets.entropy[index], 9, 2.0)
    assert same(targets.rows(index), expected)
    assert same(targets.part(2, 6), targets.rows(torch.arange(2, 6)))
    assert same(targets.part(2, 6).part(1, 3), targets.rows(torch.tensor([3, 4])))


@pytest.mark.parametrize("keep", ["top:3", "sample:3"])
def test_parts_that_are_joined_are_the_whole(keep):
    targets = kept(keep)
    assert same(targets.part(0, 3).joined([targets.part(3, 4), targets.part(4, 8)]), targets)
    assert same(targets.joined([]), targets)


def test_the_rest_is_the_mass_behind_the_kept_classes():
    p = torch.softmax(TEACHER / 2, -1).sort(-1).values
    torch.testing.assert_close(kept().rest, p[..., :-3].sum(-1))
    assert kept("sample:3").rest is None


def test_divergence_from_the_teacher_is_that_of_buckets():
    targets = kept()
    value = SoftTargets(2)(STUDENT, Batch.of_labels(LABELS), targets)
    q = torch.softmax(STUDENT.double() / 2, -1)
    of_kept = q.gather(-1, targets.ids)
    buckets = torch.cat([of_kept, 1 - of_kept.sum(-1, keepdim=True)], -1)
    expected = (targets.kept * (targets.kept / buckets).log()).sum(-1)
    torch.testing.assert_close(value.beside["kl_to_teacher"].double(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(value.loss.double(), 4 * -(targets.kept * buckets.log()).sum(-1), rtol=1e-5, atol=1e-6)


def test_divergence_of_a_student_that_agrees_is_0():
    value = SoftTargets(2)(TEACHER, Batch.of_labels(LABELS), kept())
    assert value.beside["kl_to_teacher"].max() < 1e-6


@pytest.mark.parametrize("keep", ["top:3", "sample:3"])
@pytest.mark.parametrize("cuts", [[0, 8], [0, 1, 8], [0, 3, 3, 5, 8]], ids=str)
def test_the_objective_of_parts_is_that_of_the_whole(keep, cuts):
    objective, targets = SoftTargets(2) + 0.5 * HardLabels(), kept(keep)
    batch = Batch(torch.arange(8), 0, STUDENT, LABELS, MASK)
    whole = STUDENT.clone().requires_grad_()
    loss, sums = objective(whole, batch, targets)
    loss.backward()
    logits = STUDENT.clone().requires_grad_()
    found = dict.fromkeys(sums, 0.0)
    for start, stop in pairwise(cuts):
        part, part_sums = objective(logits[start:stop], batch.part(start, stop), targets.part(start, stop))
        part.backward()
        found = {name: value + part_sums[name] for name, value in found.items()}
    torch.testing.assert_close(found, sums)
    torch.testing.assert_close(logits.grad, whole.grad)


@pytest.mark.parametrize("keep", ["top:3", "sample:3"])
def test_masked_positions_contribute_nothing_whatever_their_values(keep):
    targets, batch = kept(keep), Batch(torch.arange(8), 0, STUDENT, LABELS, MASK)
    clean, _ = (1.0 * SoftTargets(2))(STUDENT, batch, targets)
    hidden = ~MASK[..., None]
    logits = STUDENT.masked_fill(hidden, torch.nan).requires_grad_()
    rubbish = SparseTargets(
        targets.ids, targets.kept.masked_fill(hidden, torch.nan), targets.entropy.masked_fill(~MASK, torch.nan), 9, 2.0
    )
    dirty, _ = (1.0 * SoftTargets(2))(logits, batch, rubbish)
    dirty.backward()
    torch.testing.assert_close(dirty, clean)
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~MASK] == 0).all()
