"""Permuted dark knowledge: what a permutation keeps, what it destroys, and what it depends on."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from instar.data import Batch
from instar.errors import ConfigError
from instar.objectives import PermutedDarkKnowledge
from instar.targets import DenseTargets

SCOPES = ["sample", "batch", "fixed"]
every_scope = pytest.mark.parametrize("scope", SCOPES)


def batch_of(ids, step=0, seed=0):
    ids = torch.as_tensor(ids)
    return Batch(ids, 0, ids, torch.full_like(ids, -1), step=step, seed=seed)


def random_log_probs(shape, seed=0):
    return torch.log_softmax(3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)), -1)


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(SCOPES),
    st.lists(st.integers(1, 4), max_size=1),
    st.integers(2, 7),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_keeps_the_top_class_and_its_probability_and_the_sorted_others(scope, positions, classes, step, seed):
    before = random_log_probs((5, *positions, classes), seed)
    after = PermutedDarkKnowledge(scope).permuted(before, batch_of([3, 1, 4, 5, 9], step, seed))
    assert torch.equal(after.argmax(-1), before.argmax(-1))
    assert torch.equal(after.amax(-1), before.amax(-1))
    assert torch.equal(after.sort(-1).values, before.sort(-1).values)
    torch.testing.assert_close(after.exp().sum(-1), torch.ones(before.shape[:-1]))


def orders(scope, batches, classes=4):
    """Count the orders of all classes except the top class, 0."""
    marked = torch.tensor([0.0, *range(-1, -classes, -1)])
    found = [PermutedDarkKnowledge(scope).permuted(marked.expand(len(batch), -1), batch) for batch in batches]
    return Counter(tuple(row[1:]) for row in torch.cat(found).int().tolist())


@pytest.mark.parametrize(
    ("scope", "batches"),
    [
        ("sample", [batch_of(range(3000))]),
        ("sample", [batch_of([17], step) for step in range(1000)]),
        ("batch", [batch_of([17], step) for step in range(1000)]),
        ("fixed", [batch_of([17], seed=seed) for seed in range(1000)]),
    ],
    ids=["sample, over samples", "sample, over steps", "batch, over steps", "fixed, over seeds"],
)
def test_every_order_of_the_other_classes_is_equally_likely(scope, batches):
    counts = orders(scope, batches)
    assert counts.keys() == set(permutations((-1, -2, -3)))
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_the_scope_sets_the_number_of_orders():
    steps = [batch_of(range(50), step) for step in range(20)]
    assert len(orders("sample", steps[:1])) == 6
    assert [len(orders("batch", [batch])) for batch in steps] == [1] * 20
    assert len(orders("batch", steps)) > 1
    assert len(orders("fixed", steps)) == 1


def correlations(log_probs):
    """Return the correlations of all pairs of classes from 1 on, around the mean of each sample."""
    values = log_probs[:, 1:].double().numpy()
    matrix = np.corrcoef(values - values.mean(1, keepdims=True), rowvar=False)
    return np.sort(matrix[np.triu_indices_from(matrix, 1)])


def test_correlation_across_classes_vanishes_per_sample_and_stays_when_the_order_is_fixed():
    samples, classes = 20_000, 7
    logits = torch.randn(samples, classes, generator=torch.Generator().manual_seed(0))
    logits[:, 2], logits[:, 4] = logits[:, 1] + 0.1 * logits[:, 2], 0.1 * logits[:, 4] - logits[:, 3]
    logits[:, 0] = 20  # so that the other classes are the same for all
    before = torch.log_softmax(logits, -1)
    assert correlations(before)[0] < -0.7
    assert correlations(before)[-1] > 0.9
    batch = batch_of(range(samples))
    fixed, drawn = (correlations(PermutedDarkKnowledge(s).permuted(before, batch)) for s in ("fixed", "sample"))
    np.testing.assert_allclose(fixed, correlations(before), atol=1e-9)
    # what is left is what centring gives to numbers that know nothing of each other: -1 / (n - 1) of n = 6
    np.testing.assert_allclose(drawn, -1 / 5, atol=0.03)


def test_on_average_over_steps_the_other_classes_are_equal():
    teacher = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    found = [PermutedDarkKnowledge().permuted(teacher, batch_of([5], step)).exp() for step in range(1500)]
    torch.testing.assert_close(
        torch.cat(found).mean(0), torch.tensor([0.5, 0.5 / 3, 0.5 / 3, 0.5 / 3]), atol=0.01, rtol=0
    )


@every_scope
@pytest.mark.parametrize("positions", [(), (3,)])
def test_a_draw_is_that_of_its_sample_whatever_batch_it_is_in(scope, positions):
    term, teacher = PermutedDarkKnowledge(scope), random_log_probs((40, *positions, 9))
    whole = term.permuted(teacher, batch_of(range(40), step=3, seed=1))
    chosen = torch.tensor([31, 7, 22])
    assert torch.equal(term.permuted(teacher[chosen], batch_of(chosen, step=3, seed=1)), whole[chosen])
    parts = list(batch_of(range(40), step=3, seed=1).parts(3))
    found = [term.permuted(teacher[part.ids], part) for part in parts]
    assert torch.equal(torch.cat(found), whole)
    assert not torch.equal(term.permuted(teacher, batch_of(range(40), step=3, seed=2)), whole)
    same_at_another_step = torch.equal(term.permuted(teacher, batch_of(range(40), step=4, seed=1)), whole)
    assert same_at_another_step == (scope == "fixed")


def test_positions_of_a_sample_are_drawn_apart_and_share_wider_orders():
    marked = torch.arange(0.0, -8, -1).expand(4, 5, 8)
    rows = {s: PermutedDarkKnowledge(s).permuted(marked, batch_of(range(4))).flatten(0, 1) for s in SCOPES}
    assert [len(rows[scope].unique(dim=0)) for scope in SCOPES] == [20, 1, 1]


@every_scope
def test_is_the_cross_entropy_with_the_permuted_probabilities(scope):
    student, teacher, batch = random_log_probs((6, 5), 1), random_log_probs((6, 5), 2), batch_of(range(6), 4)
    term = PermutedDarkKnowledge(scope)
    logits = (2 + student).requires_grad_()
    loss = term(logits, batch, DenseTargets(teacher)).loss
    permuted = term.permuted(teacher, batch).exp()
    torch.testing.assert_close(loss, -(permuted * student).sum(1))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(gradient, student.exp() - permuted)


def test_refuses_another_scope_in_words():
    with pytest.raises(ConfigError, match=r"must be 'sample', 'batch' or 'fixed', got 'epoch'\."):
        PermutedDarkKnowledge("epoch")
