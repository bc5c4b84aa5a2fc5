"""Losses in tiles equal those of all logits at once, for all kinds of targets, and only one tile exists at a time."""

from itertools import pairwise, product

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from instar.compute.precision import autocast
from instar.compute.tiling import use_tile_bytes
from instar.data import UNLABELLED, Batch
from instar.models import Projected
from instar.objectives import (
    ConfidenceWeighted,
    DecoupledKD,
    HardLabels,
    PermutedDarkKnowledge,
    SoftTargets,
    UnlabelledSoftTargets,
)
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, MixtureTargets, ProjectedTargets, Record, SparseTargets

CLASSES, UNITS, SAMPLES, POSITIONS, ROWS = 9, 4, 5, 4, 3
GENERATOR = torch.Generator().manual_seed(0)


def numbers(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


HIDDEN, WEIGHT, BIAS = numbers(SAMPLES, POSITIONS, UNITS), numbers(CLASSES, UNITS), numbers(CLASSES)
TEACHER = 2 * numbers(SAMPLES, POSITIONS, CLASSES)
TEACHER_HIDDEN, TEACHER_WEIGHT = numbers(SAMPLES, POSITIONS, 3), numbers(CLASSES, 3)
LABELS = torch.randint(CLASSES, (SAMPLES, POSITIONS), generator=GENERATOR)
LABELS[torch.rand(LABELS.shape, generator=GENERATOR) < 0.3] = UNLABELLED


def largest(number):
    p = TEACHER.softmax(-1).sort(-1, descending=True)
    kept = torch.cat([p.values[..., :number], p.values[..., number:].sum(-1, keepdim=True)], -1)
    return SparseTargets(p.indices[..., :number], kept, torch.special.entr(kept).sum(-1), CLASSES, 1.0)


def drawn(number):
    ids = torch.multinomial(TEACHER.softmax(-1).flatten(0, 1), number, replacement=True, generator=GENERATOR)
    share = torch.full((SAMPLES, POSITIONS, number), 1 / number, dtype=torch.float64)
    return SparseTargets(ids.view(share.shape), share, torch.zeros(SAMPLES, POSITIONS), CLASSES, 1.0)


PROJECTED = ProjectedTargets(Projected(TEACHER_HIDDEN, TEACHER_WEIGHT.requires_grad_()))
DENSE = DenseTargets(TEACHER)
OF_ALL_CLASSES = {
    "dense": DENSE,
    "projected": PROJECTED,
    "mixture": MixtureTargets((DENSE, PROJECTED), torch.tensor([0.25, 0.75]).log()),
}
KINDS = OF_ALL_CLASSES | {"largest": largest(3), "drawn": drawn(5)}
SOFT_AND_HARD = SoftTargets(1) + 0.5 * HardLabels(0.1)
MANY = ConfidenceWeighted() + 0.3 * DecoupledKD() + 2 * PermutedDarkKnowledge() + UnlabelledSoftTargets(1)
CASES = [
    (1.0 * HardLabels(), None),
    *product([1.0 * SoftTargets(1), SOFT_AND_HARD], KINDS.values()),
    (ConfidenceWeighted() + UnlabelledSoftTargets(1), KINDS["largest"]),
    *product([MANY], OF_ALL_CLASSES.values()),
]
NAMES = [f"{len(objective.parts)} terms, {type(targets).__name__}" for objective, targets in CASES]
every_case = pytest.mark.parametrize(("objective", "targets"), CASES, ids=NAMES)
MASKS = {
    "all valid": None,
    "masked": torch.rand(LABELS.shape, generator=GENERATOR) < 0.6,
    "ragged": torch.arange(POSITIONS) < torch.tensor([[4], [1], [0], [3], [2]]),
    "none valid": torch.zeros(LABELS.shape, dtype=torch.bool),
}
every_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def batch_of(mask, labels=LABELS):
    return Batch(torch.arange(3, 3 + SAMPLES), 0, labels, labels, mask, step=7, seed=1)


def leaves(*given):
    return [tensor.detach().clone().requires_grad_() for tensor in given]


def gradients(loss, given):
    found = torch.autograd.grad(3 * loss, given, materialize_grads=True)
    assert all(one.shape == leaf.shape and one.dtype == leaf.dtype for one, leaf in zip(found, given, strict=True))
    return found


def plainly(objective, batch, targets, given):
    """Return sums and gradients of all logits at once, which fit into one tile."""
    loss, sums = objective(Projected(*given).logits(), batch, targets)
    return sums, gradients(loss, given)


def few(rows=ROWS):
    """Return a context with tiles of a few rows, fewer in the last; targets use their own tiles."""
    return use_tile_bytes(loss=rows * CLASSES * 4, cached=2 * CLASSES * 8)


def tiled(objective, batch, targets, given, made=Projected, **options):
    """Return sums and gradients of tiles."""
    with few():
        loss, sums = objective(made(*given), batch, targets, **options)
        assert loss == sums["loss"]
        return sums, gradients(loss, given)


def logits_of(*given):
    return Projected(*given).logits()


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


@every_case
@every_mask
@pytest.mark.parametrize("made", [Projected, logits_of])
@pytest.mark.parametrize("keep_logits", [True, False])
def test_loss_and_gradients_are_those_of_all_logits_at_once(objective, targets, mask, made, keep_logits):
    given, batch = leaves(HIDDEN, WEIGHT, BIAS), batch_of(mask)
    expected = plainly(objective, batch, targets, given)
    same(tiled(objective, batch, targets, given, made, keep_logits=keep_logits), expected)


@every_case
def test_gradients_equal_finite_differences(objective, targets):
    batch = batch_of(MASKS["ragged"])
    with few():
        assert torch.autograd.gradcheck(
            lambda *given: objective(Projected(*given), batch, targets)[0], leaves(HIDDEN, WEIGHT, BIAS)
        )


@every_case
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_any_number_of_rows_is_right(objective, targets, rows):
    given, batch = leaves(HIDDEN, WEIGHT, BIAS), batch_of(MASKS["masked"])
    expected = plainly(objective, batch, targets, given)
    with few(rows):
        loss, sums = objective(Projected(*given), batch, targets)
        same((sums, gradients(loss, given)), expected)


@every_case
def test_samples_without_positions_are_examples(objective, targets):
    labels, flat = LABELS.flatten(), targets and targets.flat()
    given, batch = leaves(HIDDEN.flatten(0, 1), WEIGHT, BIAS), Batch.of_labels(labels)
    expected = plainly(objective, batch, flat, given)
    same(tiled(objective, batch, flat, given), expected)


@every_case
@every_mask
def test_micro_batches_add_up_to_the_whole(objective, targets, mask):
    given, batch = leaves(HIDDEN, WEIGHT, BIAS), batch_of(mask)
    sums, expected = plainly(objective, batch, targets, given)
    with few():
        cuts = [(a, b, batch.part(a, b), targets and targets.part(a, b)) for a, b in pairwise([0, 1, 4, SAMPLES])]
        totals = sum(objective.totals(part, answers) for *_, part, answers in cuts)
        found = dict.fromkeys(sums, 0.0)
        added = [torch.zeros_like(leaf) for leaf in given]
        for start, stop, part, answers in cuts:
            hidden, weight, bias = given
            loss, part_sums = objective(Projected(hidden[start:stop], weight, bias), part, answers, totals)
            found = {name: value + part_sums[name] for name, value in found.items()}
            added = [one + more for one, more in zip(added, gradients(loss, given), strict=True)]
    same((found, added), (sums, list(expected)))


def with_rubbish(targets, mask, rubbish):
    """Return targets with rubbish at invalid positions."""
    hidden = ~mask[..., None]
    if isinstance(targets, DenseTargets):
        return DenseTargets(targets.values.masked_fill(hidden, rubbish))
    if isinstance(targets, SparseTargets):
        ids, kept = targets.ids.masked_fill(hidden, 999), targets.kept.masked_fill(hidden, rubbish)
        return SparseTargets(ids, kept, targets.entropy.masked_fill(~mask, rubbish), CLASSES, 1.0)
    if isinstance(targets, ProjectedTargets):
        values = targets.projected
        return ProjectedTargets(Projected(values.hidden.masked_fill(hidden, rubbish), values.weight))
    if isinstance(targets, MixtureTargets):
        return MixtureTargets(tuple(with_rubbish(part, mask, rubbish) for part in targets.parts), targets.log_weights)
    return targets


@every_case
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf])
def test_what_is_not_valid_may_be_anything(objective, targets, rubbish):
    given, mask = leaves(HIDDEN, WEIGHT, BIAS), MASKS["ragged"]
    expected = plainly(objective, batch_of(mask), targets, given)
    batch, targets = batch_of(mask, LABELS.masked_fill(~mask, 999)), with_rubbish(targets, mask, rubbish)
    given[0] = HIDDEN.masked_fill(~mask[..., None], rubbish).requires_grad_()
    found = tiled(objective, batch, targets, given)
    assert (found[1][0][~mask] == 0).all()
    same(found, expected)
    logits = Projected(*given).logits().detach().requires_grad_()
    sums, (gradient,) = tiled(objective, batch, targets, [logits], made=lambda logits: logits)
    same(sums, expected[0])
    assert (gradient[~mask] == 0).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("wanted", list(product([True, False], repeat=3))[:-1], ids=str)
def test_only_gradients_that_are_wanted_are_found(wanted):
    given, batch = leaves(HIDDEN, WEIGHT, BIAS), batch_of(MASKS["masked"])
    _, expected = plainly(SOFT_AND_HARD, batch, DENSE, given)
    for leaf, is_wanted in zip(given, wanted, strict=True):
        leaf.requires_grad_(is_wanted)
    with few():
        loss, _ = SOFT_AND_HARD(Projected(*given), batch, DENSE)
    (3 * loss).backward()
    for leaf, is_wanted, gradient in zip(given, wanted, expected, strict=True):
        if is_wanted:
            same(leaf.grad, gradient)
        else:
            assert leaf.grad is None


def test_without_a_bias_there_is_none():
    given, batch = leaves(HIDDEN, WEIGHT), batch_of(None)
    same(tiled(SOFT_AND_HARD, batch, DENSE, given), plainly(SOFT_AND_HARD, batch, DENSE, given))


@every_case
def test_without_gradients_the_sums_are_the_same(objective, targets):
    given, batch = leaves(HIDDEN, WEIGHT, BIAS), batch_of(MASKS["masked"])
    expected, _ = plainly(objective, batch, targets, given)
    with few(), torch.no_grad():
        for logits in (Projected(*given), Projected(*given).logits()):
            loss, sums = objective(logits, batch, targets, keep_logits=False)
            assert not loss.requires_grad
            same(sums, expected)


def test_a_teacher_may_have_predicted_in_inference_mode():
    teacher = nn.Linear(3, CLASSES)  # its weights have gradients, and its hidden states cannot be saved for one
    with torch.inference_mode():
        answers = ProjectedTargets(Projected(TEACHER_HIDDEN.float(), teacher.weight, teacher.bias))
    values = DenseTargets(teacher(TEACHER_HIDDEN.float()).detach())
    given, batch = leaves(HIDDEN.float(), WEIGHT.float(), BIAS.float()), batch_of(MASKS["masked"])
    expected = plainly(SOFT_AND_HARD, batch, values, given)
    torch.testing.assert_close(tiled(SOFT_AND_HARD, batch, answers, given), expected)
    assert teacher.weight.grad is None


def test_half_precision_is_that_of_autocast_with_sums_in_float32():
    layer, cpu = nn.Linear(UNITS, CLASSES), torch.device("cpu")
    (hidden,), batch = leaves(HIDDEN.float()), batch_of(None)
    found = {}
    for name in ("plain", "tiled"):
        with autocast("bfloat16", cpu):
            projected = Projected(hidden, layer.weight, layer.bias)
            logits = layer(hidden)
        assert torch.equal(projected.logits(), logits)
        with few(100 if name == "plain" else ROWS):
            loss, sums = SOFT_AND_HARD(logits if name == "plain" else projected, batch, DENSE)
        wanted = (hidden, layer.weight, layer.bias)
        found[name] = sums, [gradient.double() for gradient in torch.autograd.grad(loss, wanted)]
        assert loss.dtype == torch.float32
    torch.testing.assert_close(found["tiled"][0], found["plain"][0])
    torch.testing.assert_close(found["tiled"][1], found["plain"][1], rtol=2e-2, atol=2e-2)


class Sizes(TorchDispatchMode):
    """Records the number of elements of each new tensor; views and overwritten tensors are not new."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        found = function(*arguments, **(options or {}))
        known = {one.untyped_storage().data_ptr() for one in tensors((arguments, options))}
        self.made += [one.numel() for one in tensors(found) if one.untyped_storage().data_ptr() not in known]
        return found


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


SHAPE, WORDS = (8, 8), 50
WHOLE, TILE = 64 * WORDS, 4 * WORDS


def answers_of_many_words(kind):
    values, hidden, weight = (torch.randn(*shape) for shape in ((*SHAPE, WORDS), (*SHAPE, 3), (WORDS, 3)))
    if kind == "dense":
        return DenseTargets(values)
    if kind == "projected":
        return ProjectedTargets(Projected(hidden, weight))
    if kind == "mixture":
        return MixtureTargets((DenseTargets(values), ProjectedTargets(Projected(hidden, weight))), torch.zeros(2))
    record = Record(Keep.parse(kind), "float32", WORDS, 1.0)
    return record.decode(record.encode(DenseTargets(values), Draws(0, torch.arange(8), 0)))


def sizes_made(objective, logits, kind, mask=None, **options):
    """Return the sizes of the tensors that a loss and its gradient allocate."""
    labels, answers = torch.randint(WORDS, SHAPE), answers_of_many_words(kind)
    with use_tile_bytes(loss=4 * TILE), Sizes() as sizes:
        objective(logits, Batch(torch.arange(8), 0, labels, labels, mask), answers, **options)[0].backward()
    return sizes.made


valid_or_not = pytest.mark.parametrize("mask", [None, torch.rand(SHAPE) < 0.6], ids=["all valid", "masked"])


@pytest.mark.parametrize("kind", ["dense", "projected", "mixture", "top:3", "sample:5"])
@valid_or_not
def test_only_one_tile_of_logits_is_allocated_from_hidden_states(kind, mask):
    objective = SOFT_AND_HARD if ":" in kind else MANY
    hidden, layer = torch.randn(*SHAPE, 3, requires_grad=True), nn.Linear(3, WORDS)
    projected = Projected(hidden, layer.weight, layer.bias)
    made = sizes_made(objective, projected, kind, mask)
    assert TILE <= max(made) <= (2 * TILE if kind == "mixture" else TILE)  # a mixture has its parts side by side


@pytest.mark.parametrize("kind", ["dense", "projected", "top:3", "sample:5"])
@valid_or_not
def test_the_gradient_of_logits_is_allocated_or_overwrites_them(kind, mask):
    layer, hidden = nn.Linear(3, WORDS), torch.randn(*SHAPE, 3)
    made = sizes_made(SOFT_AND_HARD, layer(hidden), kind, mask, keep_logits=False)
    assert max(made) == TILE
    made = sizes_made(SOFT_AND_HARD, layer(hidden).tanh(), kind, mask, keep_logits=False)
    assert made.count(WHOLE) == 2  # what tanh makes of it is the other
    assert max(size for size in made if size < WHOLE) == TILE


@pytest.mark.parametrize(("keep_logits", "number"), [(True, 2), (False, 1)])
def test_a_gradient_that_is_computed_once_is_not_copied(keep_logits, number):
    hidden, layer = torch.randn(*SHAPE, 30, requires_grad=True), nn.Linear(30, WORDS)
    projected = Projected(hidden, layer.weight, layer.bias)
    made = sizes_made(SOFT_AND_HARD, projected, "dense", keep_logits=keep_logits)
    assert made.count(layer.weight.numel()) == number
