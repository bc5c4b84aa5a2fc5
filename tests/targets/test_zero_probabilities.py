"""0 log 0 is 0: classes of probability 0, wherever a probability is multiplied by a logarithm."""

import itertools

import pytest
import torch

from instar.analysis import Scores, all_metrics, divergence
from instar.data import Batch
from instar.objectives import TERMS, Objective, WeightedLabels, parse_objective
from instar.objectives.features.feature_term import FeatureTerm
from instar.seeds import Draws
from instar.targets import DenseTargets, Keep, MixtureTargets, Record

INF = torch.inf
FINITE = torch.tensor([[2.0, 1.0, -1.0, 0.5], [0.0, 3.0, 1.0, -2.0]])
LABELS = Batch.of_labels(torch.tensor([0, 1]))
OBJECTIVES = [
    "HardLabels()",
    "WeightedLabels()",
    "SoftTargets(1)",
    "SoftTargets(8)",
    "ConfidenceWeighted()",
    "DecoupledKD(1, 2, 4)",
    "PermutedDarkKnowledge()",
    "UnlabelledSoftTargets(2)",
    "Correlation()",
]


def padded(logits, classes=2):
    return torch.cat([logits, torch.full((len(logits), classes), -INF)], 1)


def found(text, student, teacher):
    student = student.clone().requires_grad_()
    objective = parse_objective(text)
    if text == "WeightedLabels()":
        names = list(map(str, range(student.shape[1])))
        objective = Objective(((1, WeightedLabels().fit_to_classes(torch.ones(len(names), dtype=torch.int64), names)),))
    loss, sums = objective(student, LABELS, teacher)
    loss.backward()
    return loss.detach(), sums, student.grad


# a correlation over classes is over all of them, also those of probability 0
@pytest.mark.parametrize("text", [text for text in OBJECTIVES if not text.startswith(("Permuted", "Correlation"))])
def test_classes_that_both_give_probability_0_change_no_loss_and_no_gradient(text):
    teacher = FINITE.flip(1) * 1.5
    loss, sums, gradient = found(text, padded(FINITE), DenseTargets(padded(teacher)))
    plain, plain_sums, plain_gradient = found(text, FINITE, DenseTargets(teacher))
    torch.testing.assert_close(loss, plain)
    for name, value in plain_sums.items():
        torch.testing.assert_close(sums[name], value)
    torch.testing.assert_close(gradient[:, :4], plain_gradient)
    assert (gradient[:, 4:] == 0).all()


@pytest.mark.parametrize("text", OBJECTIVES)
def test_a_teacher_that_is_certain_gives_finite_losses_and_gradients(text):
    certain = torch.full((2, 4), -INF).scatter(1, torch.tensor([[0], [2]]), 0.0)
    loss, sums, gradient = found(text, FINITE, DenseTargets(certain))
    assert all(value.isfinite() for value in (loss, *sums.values()))
    assert gradient.isfinite().all()


@pytest.mark.parametrize("text", ["SoftTargets(2)", "DecoupledKD(1, 2, 4)", "PermutedDarkKnowledge()"])
def test_nan_of_the_teacher_is_never_taken_for_0(text):
    teacher = FINITE.index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(torch.nan))
    loss, _, _ = found(text, FINITE, DenseTargets(teacher))
    assert loss.isnan()


def test_every_term_is_among_those_that_are_tried_or_compares_logits():
    tried = {name for name in TERMS if any(name in text for text in OBJECTIVES)}
    # which read no probabilities
    of_others = {name for name, term in TERMS.items() if issubclass(term, FeatureTerm) or term.outputs == "numbers"}
    assert TERMS.keys() - tried - of_others == {"LogitMatching", "Standardised"}


def test_divergences_of_certain_and_impossible_classes():
    certain = torch.tensor([[0.0, -INF, -INF]])
    even = torch.zeros(1, 3)
    assert divergence(certain, certain).tolist() == [0.0]
    assert divergence(even, certain).item() == pytest.approx(torch.tensor(3.0).log().item())
    assert divergence(certain, even).tolist() == [INF]
    assert divergence(even, torch.tensor([[0.0, torch.nan, 0.0]])).isnan().all()


def test_metrics_of_a_model_that_is_certain():
    logits = torch.tensor([[0.0, -INF], [-INF, 0.0], [0.0, -INF]])
    metrics = all_metrics(Scores.of(logits, torch.tensor([0, 1, 1])), ("a", "b"))
    assert (metrics["errors"], metrics["nll"]) == (1, INF)
    assert metrics["ece"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("keep", ["all", "top:2", "sample:4"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_records_of_a_certain_teacher_give_its_loss(keep, dtype):
    certain = DenseTargets(torch.tensor([[0.0, -INF, -INF, -INF]]))
    record = Record(Keep.parse(keep), dtype, 4, None if keep == "all" else 1.0)
    kept = record.decode(record.encode(certain, Draws(0, torch.tensor([0]), 0)))
    for mine, theirs in zip(kept.cross_entropy(FINITE[:1], 1.0), certain.cross_entropy(FINITE[:1], 1.0), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations([FINITE, padded(FINITE[:, :2])], 2)])
def test_a_mixture_gives_a_class_what_either_part_gives_it(first, second):
    half = torch.tensor([0.5, 0.5]).log()
    mixed = MixtureTargets((DenseTargets(first), DenseTargets(second)), half)
    expected = (first.softmax(1) + second.softmax(1)) / 2
    torch.testing.assert_close(mixed.log_probs(1.0).exp(), expected)
