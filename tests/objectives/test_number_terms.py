"""Terms of numbers against PyTorch's own losses, and what is refused."""

import pytest
import torch
import torch.nn.functional as F

from instar.data import Loader, load_data
from instar.errors import ConfigError, MismatchError
from instar.objectives import (
    TERMS,
    HardLabels,
    Huber,
    NumberTerm,
    Quantile,
    SoftTargets,
    SquaredError,
    parse_objective,
)
from instar.targets import DenseTargets

NUMBERS = [100.0, 250.0, None, 400.0, 150.0, 900.0]
INPUTS = torch.arange(6.0)[:, None]


@pytest.fixture(scope="module")
def batch():
    data = load_data({"train": (INPUTS, NUMBERS), "test": (INPUTS, NUMBERS)}, labels="numbers", validation=0)
    return next(Loader(data.train, 6, seed=0).in_order())


def reference(term, distances):
    """Return what PyTorch computes for distances in standard deviations."""
    zeros = torch.zeros_like(distances)
    if isinstance(term, SquaredError):
        return F.mse_loss(distances, zeros, reduction="none") / 2
    if isinstance(term, Huber):
        return F.huber_loss(distances, zeros, reduction="none", delta=term.delta)
    return torch.where(distances < 0, -term.level * distances, (1 - term.level) * distances)


CASES = [SquaredError(), Huber(), Huber(0.25), Quantile(), Quantile(0.9)]


def test_every_term_of_numbers_has_a_case():
    assert {type(case) for case in CASES} == {term for term in TERMS.values() if issubclass(term, NumberTerm)}


@pytest.mark.parametrize("term", CASES, ids=repr)
def test_a_loss_is_that_of_distances_in_standard_deviations_and_0_without_a_label(term, batch):
    predicted = torch.tensor([[90.0], [300.0], [1e9], [400.0], [-50.0], [2000.0]], requires_grad=True)
    known = torch.tensor([number is not None for number in NUMBERS])
    numbers = torch.tensor([number or 0.0 for number in NUMBERS])
    spread = numbers[known].std(correction=0)
    loss = term(predicted, batch, None).loss
    assert loss[known].tolist() == pytest.approx(
        reference(term, ((predicted[:, 0] - numbers) / spread)[known]).tolist()
    )
    assert loss[~known].tolist() == [0.0]
    loss.sum().backward()
    assert predicted.grad.isfinite().all()
    assert predicted.grad[~known].tolist() == [[0.0]]


@pytest.mark.parametrize("term", CASES, ids=repr)
def test_the_numbers_of_a_teacher_are_compared_in_the_same_unit_without_labels_too(term, batch):
    of_teacher = parse_objective(repr(term).replace("'labels'", "'teacher'")).parts[0][1]
    predicted, theirs = torch.randn(6, 1) * 500, torch.randn(6, 1) * 500
    spread = batch.origin.samples.source.task.std
    found = of_teacher(predicted, batch, DenseTargets(theirs)).loss
    assert found.tolist() == pytest.approx(reference(term, ((predicted - theirs) / spread)[:, 0]).tolist())
    assert of_teacher.name == f"{term.name}_to_teacher"


def test_an_objective_of_numbers_is_read_from_its_text():
    objective = SquaredError("teacher") + 0.1 * Quantile(0.9) + Huber(2.0)
    assert parse_objective(repr(objective)) == objective


def test_terms_of_classes_and_of_numbers_are_not_confused():
    with pytest.raises(MismatchError, match="HardLabels is a term of classes, and the labels are numbers; choose Squ"):
        (1.0 * HardLabels()).check(has_teacher=False, has_labels=True, predicts_numbers=True)
    with pytest.raises(
        MismatchError, match=r"SquaredError is a term of numbers, and the labels are classes; .*=numbers"
    ):
        (1.0 * SquaredError()).check(has_teacher=False, has_labels=True)
    with pytest.raises(MismatchError, match="SquaredError needs a teacher"):
        (1.0 * SquaredError("teacher")).check(has_teacher=False, has_labels=True, predicts_numbers=True)
    with pytest.raises(MismatchError, match="SoftTargets is a term of classes"):
        (SquaredError() + SoftTargets(2)).check(has_teacher=True, has_labels=True, predicts_numbers=True)


@pytest.mark.parametrize("text", ["Huber(0)", "Quantile(1.0)", "SquaredError('labls')"])
def test_impossible_arguments_are_refused(text):
    with pytest.raises(ConfigError):
        parse_objective(text)
