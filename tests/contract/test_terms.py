"""What every term of an objective keeps to. A new term is one new row in CASES."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import instar.objectives
from instar.compute.tiling import use_tile_bytes
from instar.data import UNLABELLED, Batch
from instar.models import Projected
from instar.objectives import (
    TERMS,
    ConfidenceWeighted,
    Correlation,
    DecoupledKD,
    FeatureTerm,
    HardLabels,
    LogitMatching,
    Need,
    NumberTerm,
    Objective,
    PermutedDarkKnowledge,
    SoftTargets,
    Standardised,
    Term,
    UnlabelledSoftTargets,
    WeightedLabels,
    parse_objective,
)
from instar.targets import DenseTargets

CASES = [
    HardLabels(),
    HardLabels(label_smoothing=0.1),
    SoftTargets(),
    SoftTargets(temperature=4),
    SoftTargets(temperature=0.5),
    LogitMatching(),
    ConfidenceWeighted(),
    PermutedDarkKnowledge(),
    PermutedDarkKnowledge("batch"),
    PermutedDarkKnowledge("fixed"),
    DecoupledKD(),
    DecoupledKD(alpha=0.5, beta=0, temperature=1),
    Standardised(),
    Standardised(DecoupledKD(temperature=2)),
    Standardised(LogitMatching()),
    Standardised(ConfidenceWeighted()),
    Standardised(HardLabels(0.1)),
    UnlabelledSoftTargets(2),
    WeightedLabels().fit_to_classes(torch.arange(1, 11), tuple("abcdefghij")),
    Standardised(WeightedLabels({"b": 3}).fit_to_classes(torch.arange(1, 11), tuple("abcdefghij"))),
    Correlation(),
    Correlation(beta=2, gamma=0.5, temperature=4),
]
CASES_OF_EACH_KIND = list({type(case): case for case in CASES if not case.relates_examples}.values())
every_term = pytest.mark.parametrize("term", CASES, ids=repr)


def example(shape, seed, classes=5):
    """Return logits in float64, a batch with random labels, and targets of random examples."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(*shape, classes, generator=generator, dtype=torch.float64)
    teacher = DenseTargets(3 * torch.randn(*shape, classes, generator=generator, dtype=torch.float64))
    return logits, as_batch(logits, torch.randint(classes, shape, generator=generator)), teacher


def as_batch(logits, labels, mask=None):
    return Batch(torch.arange(len(logits)), 0, logits, labels, mask)


def test_every_term_is_listed():
    of_layers = {
        term for term in TERMS.values() if issubclass(term, FeatureTerm | NumberTerm)
    }  # with their own contracts
    assert set(TERMS.values()) - of_layers == {type(case) for case in CASES}
    assert all(name == term.__name__ for name, term in TERMS.items())
    exported = [getattr(instar.objectives, name) for name in instar.objectives.__all__]
    terms = {thing for thing in exported if isinstance(thing, type) and issubclass(thing, Term) and thing is not Term}
    terms -= {FeatureTerm, NumberTerm}
    assert terms == set(TERMS.values())


@every_term
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 4)])
def test_gives_one_finite_number_per_example_of_at_least_0(term, shape):
    value = term(*example(shape, 0))
    for found in (value.loss, *value.beside.values()):
        assert found.shape == shape
        assert torch.isfinite(found).all()
        assert (found >= 0).all()


@every_term
def test_of_no_examples_gives_no_numbers(term):
    logits, batch, targets = example((0,), 0)
    value, weights = term(logits, batch, targets), term.weights(batch, targets)
    assert all(found.shape == (0,) for found in (value.loss, *value.beside.values()))
    assert weights is None or weights.shape == (0,)


@every_term
def test_gradient_equals_finite_differences(term):
    logits, batch, targets = example((4,), 1)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: term(z, batch, targets).loss, logits)


@every_term
def test_loss_of_a_batch_is_the_losses_of_its_rows(term):
    if term.relates_examples:
        pytest.skip("its examples are related to each other")
    logits, batch, targets = example((6,), 2)
    rows = [term(logits[[i]], batch.part(i, i + 1), targets.rows(torch.tensor([i]))).loss for i in range(6)]
    torch.testing.assert_close(term(logits, batch, targets).loss, torch.cat(rows))


@every_term
@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_stays_finite_for_extreme_logits(term, scale):
    logits, batch, targets = example((8,), 3)
    logits = (logits * scale).float().requires_grad_()
    loss = term(logits, batch, DenseTargets(targets.values.float() * scale)).loss.sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@every_term
def test_records_nothing_that_carries_gradients(term):
    logits, batch, targets = example((3,), 4)
    assert not any(found.requires_grad for found in term(logits.requires_grad_(), batch, targets).beside.values())


@every_term
@pytest.mark.parametrize("weight", [1, 0.5, 1 / 3, 1e-7, 2.0])
def test_its_text_reads_back_as_itself(term, weight):
    objective = weight * term
    assert parse_objective(repr(objective)) == objective


@every_term
def test_without_labels_only_the_soft_part_remains(term):
    logits, batch, targets = example((4,), 5)
    found = term(logits, as_batch(logits, torch.full_like(batch.labels, UNLABELLED)), targets).loss
    if Need.LABELS in term.needs:
        assert (found == 0).all()
    elif isinstance(term, UnlabelledSoftTargets):  # the other way round
        assert (term(logits, batch, targets).loss == 0).all()
        assert torch.equal(found, SoftTargets(term.temperature)(logits, batch, targets).loss)
    else:
        torch.testing.assert_close(found, term(logits, batch, targets).loss)


@st.composite
def split_batches(draw):
    """A batch, perhaps with positions, a mask and missing labels; an objective; and places to cut it."""
    size = draw(st.integers(1, 7))
    shape = (size, draw(st.integers(1, 4))) if draw(st.booleans()) else (size,)
    logits, batch, targets = example(shape, draw(st.integers(0, 2**20)), draw(st.integers(2, 6)))
    labels = batch.labels
    labels[torch.rand(shape) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = UNLABELLED
    mask = torch.rand(shape) < 0.7 if len(shape) == 2 else None
    kinds = draw(st.permutations(CASES_OF_EACH_KIND))
    weights = draw(st.lists(st.floats(0.01, 10), min_size=1, max_size=3))
    objective = Objective(tuple(zip(weights, kinds[: len(weights)], strict=True)))
    cuts = sorted({0, size, *draw(st.lists(st.integers(0, size), max_size=3))})
    return logits, as_batch(logits, labels, mask), targets, objective, cuts


@settings(deadline=None)
@given(split_batches())
def test_a_sum_over_a_batch_is_the_sum_over_any_split(case):
    logits, batch, targets, objective, cuts = case
    total, sums = objective(logits, batch, targets)
    found = dict.fromkeys(sums, 0.0)
    parts = [(slice(*cut), batch.part(*cut), targets.rows(torch.arange(*cut))) for cut in pairwise(cuts)]
    totals = sum(objective.totals(part, answers) for _, part, answers in parts)
    for rows, batch_part, answers in parts:
        part, part_sums = objective(logits[rows], batch_part, answers, totals)
        torch.testing.assert_close(part, part_sums["loss"])
        found = {name: value + part_sums[name] for name, value in found.items()}
    torch.testing.assert_close(total, sums["loss"])
    torch.testing.assert_close(found, sums)


@every_term
@pytest.mark.parametrize("rubbish", [float("nan"), float("inf"), -float("inf")])
def test_masked_positions_contribute_nothing_whatever_they_hold(term, rubbish):
    logits, batch, targets = example((3, 4), 6)
    labels = batch.labels
    mask = torch.arange(4) < torch.tensor([[4], [2], [1]])
    clean, clean_sums = (1.0 * term)(logits, as_batch(logits, labels, mask), targets)
    losses = term(logits, as_batch(logits, labels), targets).loss[mask]
    if term.relates_examples:  # the valid ones alone
        losses = term(logits[mask], as_batch(logits[mask], labels[mask]), DenseTargets(targets.values[mask])).loss
    weights = term.weights(as_batch(logits, labels), targets)
    shares = torch.ones_like(losses) if weights is None else weights[mask] / weights[mask].mean()
    torch.testing.assert_close(clean, (shares * losses).sum())
    dirty = torch.where(mask[..., None], logits, rubbish).requires_grad_()
    dirty_targets = DenseTargets(torch.where(mask[..., None], targets.values, rubbish))
    batch = as_batch(dirty, torch.where(mask, labels, 999), mask)
    total, sums = (1.0 * term)(dirty, batch, dirty_targets)
    total.backward()
    torch.testing.assert_close(sums, clean_sums)
    assert (dirty.grad[~mask] == 0).all()
    assert torch.isfinite(dirty.grad).all()


def itself(logits):
    return logits


def as_hidden_states(logits):
    return Projected(logits, torch.eye(logits.shape[-1], dtype=logits.dtype))


@every_term
@pytest.mark.parametrize("shape", [(11,), (3, 4)], ids=str)
@pytest.mark.parametrize("given", [itself, as_hidden_states])
def test_tiles_of_examples_change_nothing(term, shape, given):
    logits, batch, targets = example(shape, 7)
    batch.labels[torch.arange(len(batch)) % 3 == 1] = UNLABELLED
    mask = torch.arange(4) < torch.tensor([[4], [2], [3]]) if len(shape) == 2 else None
    batch = as_batch(logits, batch.labels, mask)

    def found(given):
        values = logits.clone().requires_grad_()
        total, sums = (0.5 * term)(given(values), batch, targets)
        return total.detach(), sums, torch.autograd.grad(3 * total, values)[0]

    whole = found(itself)
    with use_tile_bytes(loss=4 * logits.shape[-1] * 4):  # 4 rows, and fewer in the last tile
        torch.testing.assert_close(found(given), whole)
