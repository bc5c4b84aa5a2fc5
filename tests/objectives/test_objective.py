"""Sums of terms: their weights, and what is refused."""

from dataclasses import dataclass

import pytest
import torch

from instar.data import Batch
from instar.errors import ConfigError, MismatchError
from instar.objectives import HardLabels, LogitMatching, Need, Objective, SoftTargets, Term, Value, parse_objective
from instar.targets import DenseTargets


def test_weights_multiply_terms_and_sums():
    objective = 2 * (SoftTargets(4) + 0.25 * HardLabels())
    assert [weight for weight, _ in objective.parts] == [2, 0.5]
    assert repr(objective) == "2 * SoftTargets(temperature=4) + 0.5 * HardLabels(label_smoothing=0.0)"


def test_total_is_the_weighted_sum_of_its_parts():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    targets = DenseTargets(torch.randn(5, 3))
    batch = Batch(torch.arange(5), 0, logits, labels)
    total, sums = (SoftTargets(4) + 0.1 * HardLabels())(logits, batch, targets)
    assert list(sums) == ["loss", "soft_targets", "kl_to_teacher", "hard_labels"]
    torch.testing.assert_close(total, sums["soft_targets"] + 0.1 * sums["hard_labels"])


def test_low_precision_logits_are_summed_in_float32():
    logits = torch.randn(4, 3, dtype=torch.bfloat16)
    total, _ = (1.0 * HardLabels())(logits, Batch(torch.arange(4), 0, logits, torch.zeros(4, dtype=torch.long)), None)
    assert total.dtype == torch.float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1 * HardLabels()", "the weight of HardLabels must be at least 0, got -1"),
        ("'a' * HardLabels()", "the weight of HardLabels must be at least 0, got 'a'"),
        ("SoftTargets(0)", r"SoftTargets\(temperature\) must be greater than 0, got 0"),
        ("SoftTargets(-2)", r"SoftTargets\(temperature\) must be greater than 0, got -2"),
        ("HardLabels(1.5)", r"HardLabels\(label_smoothing\) must be at least 0 and below 1, got 1.5"),
        ("SoftTarget(4)", "'SoftTarget' is unknown; did you mean 'SoftTargets'"),
        ("SoftTargets(4) + SoftTargets(2)", "'soft_targets' appears 2 times"),
        ("SoftTargets(temprature=4)", "SoftTargets"),
        ("SoftTargets(4) + 3", "cannot be read at '3'"),
        ("SoftTargets(", "cannot be read"),
        ("__import__('os')", "unknown"),
        ("", "cannot be read"),
    ],
)
def test_refuses_in_words(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_objective(text)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_refuses_weights_that_are_not_finite(weight):
    with pytest.raises(ConfigError, match="must be at least 0"):
        weight * HardLabels()


def test_refuses_no_terms():
    with pytest.raises(ConfigError):
        Objective(())


@pytest.mark.parametrize("term", [SoftTargets(4), LogitMatching()])
def test_refuses_a_run_without_the_teacher_that_a_term_needs(term):
    with pytest.raises(MismatchError, match=f"{type(term).__name__} needs a teacher"):
        (1.0 * term).check(has_teacher=False, has_labels=True)


def test_refuses_a_run_without_the_labels_that_a_term_needs():
    with pytest.raises(MismatchError, match="HardLabels needs labels"):
        (SoftTargets(4) + HardLabels()).check(has_teacher=True, has_labels=False)


def test_refuses_a_teacher_that_no_term_uses():
    with pytest.raises(MismatchError, match=r"no term of the objective .* uses the teacher"):
        (1.0 * HardLabels()).check(has_teacher=True, has_labels=True)


def test_an_objective_of_weights_0_is_refused_before_the_first_step():
    unheard = HardLabels() + 0 * SoftTargets(1)  # a teacher may be needed for its layers alone
    unheard.check(has_teacher=True, has_labels=True)
    with pytest.raises(ConfigError, match="at least one weight of the objective must be above 0"):
        (0 * HardLabels()).check(has_teacher=False, has_labels=True)


@dataclass(frozen=True)
class Undeclared(Term):
    """Returns weights without declaring them."""

    needs = frozenset[Need]()
    name = "undeclared"

    def __call__(self, logits, batch, targets):
        return Value(logits.sum(-1))

    def weights(self, batch, targets):
        return torch.ones(len(batch))


def test_weights_that_no_term_declares_are_refused():
    with pytest.raises(ConfigError, match="Undeclared returns weights; set its weighs_examples to True"):
        (1.0 * Undeclared())(torch.zeros(2, 3), Batch.of_labels(torch.tensor([0, 1])), None)


def test_a_term_reads_targets_at_its_own_temperature_and_others_at_1():
    assert (SoftTargets(4) + LogitMatching() + HardLabels()).temperatures == {4.0, 1.0}
    assert Undeclared().temperature == 1.0
