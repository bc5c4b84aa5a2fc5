"""`verify_loss` finds out what losses do whose equations are known, and says so of Instar's own terms."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from typer.testing import CliRunner

import instar
from instar import cli
from instar.data.batch import Batch
from instar.errors import ConfigError
from instar.objectives import DecoupledKD, SoftTargets
from instar.targets import DenseTargets

Loss = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def divergence(z: Tensor, v: Tensor, t: float, reduction: str = "batchmean") -> Tensor:
    return F.kl_div((z / t).log_softmax(-1), (v / t).softmax(-1), reduction=reduction)


def answers(loss: Loss, **given: Any) -> dict[str, str]:
    return {one.question: one.verdict for one in instar.verify_loss(loss, **given).findings}


def others(loss: Loss, **given: Any) -> set[str]:
    return {one.question for one in instar.verify_loss(loss, **given).findings if one.is_defined_so is False}


FORMS: dict[str, Loss] = {
    "KL(teacher || student)": lambda z, v, y, t: t**2 * divergence(z, v, t),
    "KL(student || teacher)": lambda z, v, y, t: t**2 * divergence(v, z, t),
    "squared difference of logits, halved": lambda z, v, y, t: F.mse_loss(z, v),
    "squared difference of probabilities": lambda z, v, y, t: F.mse_loss((z / t).softmax(-1), (v / t).softmax(-1)),
    "cross-entropy with student logits that are not divided by T": lambda z, v, y, t: F.cross_entropy(
        z, (v / t).softmax(-1)
    ),
    "cross-entropy with teacher logits that are not divided by T": lambda z, v, y, t: F.cross_entropy(
        z / t, v.softmax(-1)
    ),
    "KL of probabilities where their logarithm belongs": lambda z, v, y, t: F.kl_div(
        (z / t).softmax(-1), (v / t).softmax(-1), reduction="sum"
    ),
    "KL(teacher || student) at T = 1": lambda z, v, y, t: divergence(z, v, 1.0),
    "cross-entropy with the teacher's likeliest class": lambda z, v, y, t: F.cross_entropy(z, v.argmax(-1)),
    "cross-entropy with labels": lambda z, v, y, t: F.cross_entropy(z, y),
    "KL(teacher || student), and cross-entropy with labels": lambda z, v, y, t: (
        0.9 * t**2 * divergence(z, v, t) + 0.1 * F.cross_entropy(z, y)
    ),
    "none of the known ones": lambda z, v, y, t: (z - v).abs().sum(-1).mean(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_a_loss_is_found(form: str) -> None:
    assert answers(FORMS[form])["form"] == form


@pytest.mark.parametrize(
    ("loss", "question", "verdict"),
    [
        (lambda z, v, y, t: divergence(z, v, t), "T^2", "no, so the balance with labels moves with T"),
        (lambda z, v, y, t: t * divergence(z, v, t), "T^2", "T^1 in its place"),
        (lambda z, v, y, t: divergence(z, v, 1.0), "T^2", "the temperature changes nothing"),
        (lambda z, v, y, t: divergence(z, v, t, "sum"), "over examples", "sum"),
        (
            lambda z, v, y, t: F.mse_loss(z, v),
            "over classes",
            "mean, so the loss is divided by their number",
        ),
        (
            lambda z, v, y, t: t**2 * F.cross_entropy(z / t, (v / t).softmax(-1)),
            "value",
            "the cross-entropy, which is the divergence and the teacher's entropy",
        ),
        (
            lambda z, v, y, t: 3 * t**2 * divergence(z, v, t) + 0.5 * F.cross_entropy(z, y),
            "factor of the definition",
            "3, beside 0.5 times the cross-entropy with labels",
        ),
        (lambda z, v, y, t: divergence(z, v.detach(), t), "gradient into the teacher", "no"),
        (lambda z, v, y, t: divergence(z, v, t, "sum"), "micro-batches", "the sum of parts is the whole"),
        (lambda z, v, y, t: divergence(z, v, t), "sequences", "sum over positions, so longer sequences count more"),
        (
            lambda z, v, y, t: F.cross_entropy(z.flatten(0, -2), y.flatten()),
            "padded positions",
            "left out, with the mean over the others",
        ),
        (
            lambda z, v, y, t: F.cross_entropy(z.flatten(0, -2), y.flatten(), reduction="sum") / y.numel(),
            "padded positions",
            "left out, but divided by all, so padding makes the loss smaller",
        ),
        (lambda z, v, y, t: divergence(z, v, t), "padded positions", "those with the label -100 still count"),
        (lambda z, v, y, t: divergence(z, v, t), "-inf in both logits", "the loss is nan"),
        (
            lambda z, v, y, t: (
                -((v / t).softmax(-1) * (z / t).exp().div((z / t).exp().sum(-1, True)).log()).sum(-1).mean()
            ),
            "logits of 1,000",
            "the gradient is not finite",
        ),
        (
            lambda z, v, y, t: -((v / t).softmax(-1) * (z / t).log_softmax(-1)).sum(-1),
            "over examples",
            "no reduction: 12 numbers for 12 examples of 7 classes",
        ),
    ],
)
def test_one_question_is_answered(loss: Loss, question: str, verdict: str) -> None:
    assert answers(loss)[question] == verdict


def of_term(term: Any) -> Loss:
    def loss(z: Tensor, v: Tensor, y: Tensor, t: float) -> Tensor:
        kept = y.flatten() != -100
        rows, targets = z.flatten(0, -2)[kept], DenseTargets(v.detach().flatten(0, -2)[kept])
        return term(t)(rows, Batch.of_labels(y.flatten()[kept]), targets).loss.mean()

    return loss


def test_the_soft_targets_of_instar_are_the_definition_at_every_edge() -> None:
    assert others(of_term(SoftTargets)) == set()
    assert answers(of_term(SoftTargets))["factor of the definition"] == "1"


def test_decoupled_targets_are_another_loss_and_as_safe() -> None:
    assert others(of_term(lambda t: DecoupledKD(temperature=t))) <= {"form", "factor of the definition"}


def test_arguments_have_the_order_and_the_names_of_the_function() -> None:
    def loss(*, tau: float, y_t: Tensor, y_s: Tensor, alpha: float) -> Tensor:
        return alpha * tau**2 * divergence(y_s, y_t, tau)

    found = answers(loss, arguments="y_s=student, y_t=teacher, tau=temperature, alpha=0.25", temperature=2)
    assert found["factor of the definition"] == "0.25"
    fixed = answers(lambda z, v: 9 * divergence(z, v, 3), arguments="student,teacher", temperature=3)
    assert (fixed["factor of the definition"], fixed["T^2"]) == ("1", "not asked: the function takes no temperature")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"arguments": "student,teacher,0.5"}, "arguments has '0.5'"),
        ({"arguments": "teacher"}, "arguments must have student"),
        ({"arguments": "student,tutor"}, "arguments has 'tutor'"),
        (
            {"arguments": "student"},
            "the loss function failed: TypeError: .*; say what it takes, in its order, with arguments",
        ),
        ({"temperature": 0}, "temperature must be greater than 0"),
    ],
)
def test_wrong_arguments_are_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        instar.verify_loss(FORMS["KL(teacher || student)"], **given)


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        (lambda z, v, y, t: z.sum().item(), "must return a tensor of numbers, got float"),
        (lambda z, v, y, t: (z.sum(), v), "must return a tensor of numbers, got tuple"),
        (lambda z, v, y, t: z.detach().sum(), "no gradient flows"),
        (lambda z, v, y, t: (torch.rand(1) * z).sum(), "has another gradient for the same logits in a second call"),
        (torch.nn.KLDivLoss, "is no function"),
        ("math:no_such_loss", "cannot be imported"),
    ],
)
def test_what_is_no_loss_is_refused(loss: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        instar.verify_loss(loss)


def test_the_command_prints_what_the_function_returns(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_losses.py").write_text(
        "def square(student, teacher):\n    return (student - teacher).square().sum()\n"
    )
    monkeypatch.chdir(tmp_path)
    command = ["verify-loss", "my_losses:square", "--arguments", "student,teacher"]
    found = CliRunner().invoke(cli.app, [*command, "--json"])
    assert found.exit_code == 0, found.output
    findings = {one["question"]: one for one in json.loads(found.stdout)["findings"]}
    assert findings["form"]["verdict"] == "squared difference of logits, halved"
    assert not any(isinstance(one["verdict"], float) and math.isnan(one["verdict"]) for one in findings.values())
    text = CliRunner().invoke(cli.app, command).stdout
    assert "OTHER       squared difference of logits, halved" in text
