"""What every term of hidden layers keeps to. A new term is one new row in CASES."""

from dataclasses import replace

import pytest
import torch

from instar.data import Batch, Samples, Source
from instar.errors import ConfigError, MismatchError
from instar.objectives import (
    TERMS,
    Attentions,
    AttentionTransfer,
    Contrastive,
    FeatureTerm,
    FlowOfSolution,
    HardLabels,
    HiddenStates,
    Hints,
    ProbabilisticTransfer,
    Relational,
    ReviewDistillation,
    SimilarityPreserving,
    Standardised,
    ValueRelations,
    VariationalInformation,
    parse_objective,
)
from instar.objectives.values import Hidden

PAIRS = {"a": "x", "b": "y"}
LABELS = torch.tensor([0, 1, 2, 0, 1])
SAMPLES = Samples.all_of(Source("five", torch.zeros(5, 1), LABELS, ("a", "b", "c")))
CASES = [
    (AttentionTransfer(PAIRS), [(3, 4, 4), (2, 2, 2)], [(5, 4, 4), (2, 2, 2)]),
    (FlowOfSolution(PAIRS), [(3, 4, 4), (2, 2, 2)], [(3, 6, 6), (2, 3, 3)]),
    (Hints(PAIRS, regressor=False), [(3, 4, 4), (2, 2)], [(3, 4, 4), (2, 2)]),
    (Hints(PAIRS), [(3, 4, 4), (2, 2)], [(5, 4, 4), (2, 3)]),
    (SimilarityPreserving(PAIRS), [(3, 4, 4), (6,)], [(5, 2, 2), (4,)]),
    (ProbabilisticTransfer(PAIRS), [(3, 4, 4), (6,)], [(5, 2, 2), (4,)]),
    (Relational(PAIRS), [(3, 4, 4), (6,)], [(5, 2, 2), (4,)]),
    (Relational(PAIRS, distance=1, angle=0), [(3, 4, 4), (6,)], [(5, 2, 2), (4,)]),
    (VariationalInformation(PAIRS), [(3, 4, 4), (2, 2)], [(5, 4, 4), (2, 3)]),
    (Contrastive({"a": "x"}, negatives=8, embedding=4), [(3, 2)], [(5,)]),
    (ReviewDistillation(PAIRS), [(3, 4, 4), (6,)], [(4, 6, 6), (3, 1, 1)]),
    (HiddenStates(PAIRS), [(4, 3), (4, 2)], [(4, 5), (4, 6)]),
    (HiddenStates(PAIRS, projection=False), [(4, 3), (4, 2)], [(4, 3), (4, 2)]),
    (Attentions({"a": "x"}, keys={"b": "y"}, heads=2), [(4, 6), (4, 6)], [(4, 8), (4, 8)]),
    (Attentions({"a": "x"}, keys={"b": "y"}, heads=2, divergence=True), [(4, 6), (4, 6)], [(4, 8), (4, 8)]),
    (ValueRelations(PAIRS, heads=2), [(4, 6), (4, 2)], [(4, 8), (4, 4)]),
]
"""A term, and the shapes of two layers of the student and of the teacher, without the batch."""
every_term = pytest.mark.parametrize(("term", "own", "theirs"), CASES, ids=[type(case[0]).__name__ for case in CASES])


def layers(shapes, names, seed, batch=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(batch, *shape, generator=generator, dtype=dtype)
        for name, shape in zip(names, shapes, strict=False)
    }


def example(own, theirs, batch=5, dtype=torch.float64):
    return layers(own, "ab", 0, batch, dtype), layers(theirs, "xy", 1, batch, dtype)


def as_batch(rows):
    rows = torch.arange(5)[rows]
    return Batch(rows, 0, rows, LABELS[rows], attention_mask=torch.ones(len(rows), 4, dtype=torch.bool))


def owned_by(term, own, theirs):
    torch.manual_seed(0)
    found = term.make_adapters(own, theirs, SAMPLES)
    return None if found is None else found.double()


def losses_of(term, student, teacher, rows=slice(None)):
    """Return the losses of some rows, with what the term owns, as new."""
    student, teacher = ({name: value[rows] for name, value in one.items()} for one in (student, teacher))
    shapes = [[tuple(value.shape[1:]) for value in one.values()] for one in (student, teacher)]
    adapters = owned_by(term, *shapes)
    if adapters is not None:
        adapters.to(next(iter(student.values())).dtype)
    return term.of_layers(student, teacher, as_batch(rows), adapters)


def test_every_feature_term_is_listed():
    listed = {term for term in TERMS.values() if issubclass(term, FeatureTerm)}
    assert listed == {type(term) for term, *_ in CASES}


@every_term
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_gives_one_finite_number_per_example_of_at_least_0(term, own, theirs, dtype, scale):
    student, teacher = example(own, theirs, dtype=dtype)
    student = {name: (scale * value).requires_grad_() for name, value in student.items()}
    loss = losses_of(term, student, teacher)
    assert loss.shape == (5,)
    assert loss.dtype == dtype
    assert (loss >= 0).all()
    loss.sum().backward()
    assert all(value.grad.isfinite().all() for value in student.values())


@every_term
def test_layers_of_zeros_have_finite_gradients(term, own, theirs):
    student, teacher = example(own, theirs)
    student = {name: torch.zeros_like(value).requires_grad_() for name, value in student.items()}
    loss = losses_of(term, student, teacher).sum()
    loss.backward()
    assert loss.isfinite()
    assert all(value.grad.isfinite().all() for value in student.values())


@every_term
def test_of_no_examples_gives_no_numbers(term, own, theirs):
    assert losses_of(term, *example(own, theirs), slice(0, 0)).shape == (0,)


@every_term
def test_is_0_for_a_student_that_is_its_teacher(term, own, theirs):
    if owned_by(term, own, own) is not None:
        pytest.skip("its new adapters change the student")
    student, _ = example(own, theirs)
    same = term.of_layers(student, dict(zip("xy", student.values(), strict=True)), as_batch(slice(None)))
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-12, rtol=0)


@every_term
def test_gradient_equals_finite_differences(term, own, theirs):
    student, teacher = example(own, theirs, batch=3)
    adapters = owned_by(term, own, theirs)
    if adapters is not None:  # what the first batch estimates is no function of the layers afterwards
        term.of_layers(student, teacher, as_batch(slice(3)), adapters)
        adapters.update()
    values = [value.requires_grad_() for value in student.values()]

    def loss(*values):
        return term.of_layers(dict(zip(student, values, strict=True)), teacher, as_batch(slice(3)), adapters)

    assert torch.autograd.gradcheck(loss, values)


@every_term
def test_loss_of_a_batch_is_the_losses_of_its_rows(term, own, theirs):
    if term.relates_examples:
        pytest.skip("its examples are related to each other")
    student, teacher = example(own, theirs)
    rows = [losses_of(term, student, teacher, slice(row, row + 1)) for row in range(5)]
    torch.testing.assert_close(losses_of(term, student, teacher), torch.cat(rows))


@every_term
def test_refuses_shapes_that_do_not_fit_and_names_both_layers(term, own, theirs):
    if term.relates_examples:
        pytest.skip("it compares layers of any shapes")
    student, teacher = example(own, theirs)
    with pytest.raises(MismatchError, match=r"cannot compare 'a' with the teacher's 'x': .*\d"):
        losses_of(term, student, teacher | {"x": torch.zeros(5, 7, 3, 3, 2)})


@every_term
@pytest.mark.parametrize("weight", [1, 0.5, 1000])
def test_its_text_reads_back_as_itself(term, own, theirs, weight):
    for objective in (weight * term, HardLabels() + weight * replace(term, pairs="stages")):
        assert parse_objective(repr(objective)) == objective


@every_term
def test_is_weighed_and_recorded_beside_terms_of_logits(term, own, theirs):
    student, teacher = example(own, theirs)
    logits, batch = torch.zeros(5, 3, dtype=torch.float64), as_batch(slice(None))
    adapters = owned_by(term, own, theirs)
    hidden = Hidden(student, teacher, {} if adapters is None else {term.name: adapters}, batch.attention_mask)
    labels, _ = (1.0 * HardLabels())(logits, batch, None)
    total, sums = (HardLabels() + 3 * term)(logits, batch, None, hidden=hidden)
    wanted = term.of_layers(student, teacher, batch, adapters).sum()
    torch.testing.assert_close(total, labels + 3 * wanted)
    torch.testing.assert_close(sums, {"loss": total, "hard_labels": labels, term.name: wanted})
    alone, _ = (2 * term)(logits, batch, None, hidden=hidden)
    torch.testing.assert_close(alone, 2 * wanted)


@every_term
def test_refuses_logits_and_a_loss_without_layers(term, own, theirs):
    logits, batch = torch.zeros(2, 3), Batch.of_labels(torch.tensor([0, 1]))
    with pytest.raises(ConfigError, match="compares hidden layers, and the loss was given none"):
        (HardLabels() + term)(logits, batch, None)
    with pytest.raises(ConfigError, match="must be one term, for example"):
        Standardised(term)
    with pytest.raises(ConfigError, match="are not resolved; call resolve first"):
        type(term)().of_layers(*example(own, theirs), batch)
    for pairs in ({}, {"a": 1}, "stage1", 3):
        with pytest.raises(ConfigError, match=r"must be 'stages' or layers of the student"):
            type(term)(pairs)
