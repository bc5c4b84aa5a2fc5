"""The loss of mixed samples against its formula in NumPy, and which terms refuse a sample with two labels."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from instar.compute.tiling import use_tile_bytes
from instar.data import UNLABELLED, Batch, Mixture
from instar.errors import MismatchError
from instar.objectives import HardLabels, Need, SoftTargets, Standardised, Term, Value, parse_objective
from instar.targets import DenseTargets

NUMBER, CLASSES = 11, 7
GENERATOR = torch.Generator().manual_seed(0)
LOGITS, TEACHER = (2 * torch.randn(NUMBER, CLASSES, generator=GENERATOR, dtype=torch.float64) for _ in range(2))
FIRST, SECOND = (torch.randint(CLASSES, (NUMBER,), generator=GENERATOR) for _ in range(2))
FIRST[2] = SECOND[2] = FIRST[4] = SECOND[7] = UNLABELLED
RATIOS = torch.rand(NUMBER, generator=GENERATOR)
RATIOS[0], RATIOS[1] = 1.0, 0.0
BATCH = replace(Batch.of_labels(FIRST), mixture=Mixture(torch.arange(NUMBER).flip(0), SECOND, RATIOS))
MASK = torch.arange(NUMBER) % 4 != 1


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def hard_labels_by_hand(smoothing: float) -> np.ndarray:
    """lambda H(y) + (1 - lambda) H(y of the partner), where a missing label has the loss 0."""
    log_q, found = log_softmax(LOGITS.numpy()), np.zeros(NUMBER)
    for n in range(NUMBER):
        for ratio, label in ((float(RATIOS[n]), int(FIRST[n])), (1 - float(RATIOS[n]), int(SECOND[n]))):
            if label != UNLABELLED:
                target = (1 - smoothing) * np.eye(CLASSES)[label] + smoothing / CLASSES
                found[n] += ratio * -(target * log_q[n]).sum()
    return found


def soft_targets_by_hand(temperature: float) -> np.ndarray:
    p = np.exp(log_softmax(TEACHER.numpy() / temperature))
    return -(temperature**2) * (p * log_softmax(LOGITS.numpy() / temperature)).sum(-1)


def missing_by_hand() -> np.ndarray:
    first, second = ((labels == UNLABELLED).numpy() for labels in (FIRST, SECOND))
    return RATIOS.double().numpy() * first + (1 - RATIOS.double().numpy()) * second


EXPECTED = {
    "HardLabels()": hard_labels_by_hand(0),
    "HardLabels(0.1)": hard_labels_by_hand(0.1),
    "SoftTargets(3)": soft_targets_by_hand(3),
    "UnlabelledSoftTargets(2)": missing_by_hand() * soft_targets_by_hand(2),
    "SoftTargets(4) + 0.1 * HardLabels()": soft_targets_by_hand(4) + 0.1 * hard_labels_by_hand(0),
    "HardLabels() + UnlabelledSoftTargets(1)": hard_labels_by_hand(0) + missing_by_hand() * soft_targets_by_hand(1),
}


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all valid", "masked"])
@pytest.mark.parametrize("objective", EXPECTED)
def test_the_loss_is_that_of_both_labels_by_hand_whole_in_parts_and_in_tiles(objective, mask, tiled):
    expected = EXPECTED[objective] if mask is None else EXPECTED[objective] * mask.numpy()
    targets, batch = DenseTargets(TEACHER), replace(BATCH, mask=mask)
    with use_tile_bytes(loss=3 * CLASSES * 4 if tiled else 1 << 30):
        for number in (1, 3):
            found = 0.0
            edges = [NUMBER * i // number for i in range(number + 1)]
            for a, b in pairwise(edges):
                logits, part = LOGITS[a:b].clone().requires_grad_(), targets.rows(slice(a, b))
                found += parse_objective(objective)(logits, batch.part(a, b), part)[0].item()
            assert found == pytest.approx(expected.sum(), rel=1e-6)


def test_the_gradient_is_that_of_a_loop_by_hand():
    logits = LOGITS.clone().requires_grad_()
    (1.0 * HardLabels())(logits, BATCH, None)[0].backward()
    q, expected = LOGITS.softmax(-1), torch.zeros_like(LOGITS)
    for n in range(NUMBER):
        for ratio, label in ((RATIOS[n], FIRST[n]), (1 - RATIOS[n], SECOND[n])):
            if label != UNLABELLED:
                expected[n] += ratio.double() * (q[n] - torch.eye(CLASSES)[label])
    torch.testing.assert_close(logits.grad, expected, rtol=1e-6, atol=1e-9)


@dataclass(frozen=True)
class Margin(Term):
    needs = frozenset({Need.LABELS})
    name = "margin"

    def __call__(self, logits, batch, targets):
        return Value(-logits.gather(-1, batch.labels[..., None])[..., 0])


@pytest.mark.parametrize(
    "term", ["ConfidenceWeighted()", "DecoupledKD()", "Standardised(DecoupledKD())", "0 * DecoupledKD() + SoftTargets"]
)
def test_a_term_that_takes_one_label_is_refused_with_what_to_do(term):
    objective = parse_objective(term)
    objective.check(has_teacher=True, has_labels=True)
    name = type(objective.parts[0][1]).__name__
    with pytest.raises(MismatchError, match=f"^{name} is not defined for a sample with two labels, .* leave the view"):
        objective.check(has_teacher=True, has_labels=True, mixes_samples=True)


def test_a_term_of_a_user_that_reads_labels_must_say_that_it_is_linear_in_them():
    with pytest.raises(MismatchError, match="Margin is not defined for a sample with two labels"):
        (1.0 * Margin()).check(has_teacher=False, has_labels=True, mixes_samples=True)
    Margin.is_linear_in_labels = True
    try:
        (1.0 * Margin()).check(has_teacher=False, has_labels=True, mixes_samples=True)
    finally:
        del Margin.is_linear_in_labels


def test_terms_that_are_linear_in_the_labels_or_read_none_are_taken():
    for objective in (*EXPECTED, "LogitMatching() + PermutedDarkKnowledge()", "Standardised(SoftTargets(2))"):
        parse_objective(objective).check(
            has_teacher="Targets" in objective or "Logit" in objective, has_labels=True, mixes_samples=True
        )
    assert Standardised(HardLabels()).is_linear_in_labels
    assert not SoftTargets().is_linear_in_labels
