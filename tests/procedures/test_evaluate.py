"""Evaluation of whatever answers with logits."""

import pytest
import torch
from torch import nn

from instar.analysis import Scores, all_metrics, divergence, fidelity
from instar.data import load_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train
from instar.runs.files import read_tensors
from instar.runs.run import Run

DIGITS = load_data("digits", subset=200)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    teacher = train(DIGITS, MLP([16]), out=folder / "teacher", epochs=3, learning_rate=0.01)
    return teacher, distill(DIGITS, teacher.path, MLP([8]), out=folder / "student", epochs=3, learning_rate=0.01)


def test_a_run_knows_its_data_and_agrees_with_its_own_result(runs):
    teacher, student = runs
    for subject in (student, student.path, str(student.path), Run(student.path)):
        found = evaluate(subject, teacher=teacher)
        assert (found["class_errors"], found["gain"]) == (student.metrics["class_errors"], student.metrics["gain"])
        for name in found.keys() - {"class_errors", "gain"}:
            assert found[name] == pytest.approx(student.metrics[name]), name
    assert evaluate(student, split="validation")["errors"] == student.result["validation"]["errors"]
    assert student.metrics["teacher_error"] == teacher.metrics["error"]


def test_data_without_the_mask_of_the_training_are_other_data_in_one_sentence(tmp_path, capsys):
    """Positions without a loss in training are judged now, so the numbers are those of other positions."""
    arrays = {"train": (torch.rand(40, 3, 4), torch.arange(120).reshape(40, 3) % 2)}
    arrays["test"] = arrays["train"]
    mask = {name: torch.arange(3).expand(40, 3) < 2 for name in arrays}
    masked = load_data(arrays, mask=mask, validation=0)
    run = train(masked, nn.Linear(4, 2), out=tmp_path / "run", epochs=1, show=False)
    capsys.readouterr()
    assert "changed_data" not in evaluate(run, masked)
    assert capsys.readouterr().err == ""
    found = evaluate(run, load_data(arrays, validation=0))
    recorded, now = (found["changed_data"][name] for name in ("recorded", "found"))
    said = [line for line in capsys.readouterr().err.splitlines() if "not those" in line]
    assert said == [
        f"instar: the test data are not those that '{run.path}' was made with (fingerprint {recorded[:8]}, now "
        f"{now[:8]}); the numbers are those of the data as they are now."
    ]


def test_predictions_are_those_that_the_metrics_come_from(runs):
    teacher, student = runs
    ours, theirs = (read_tensors(run.path / "predictions.safetensors")[0] for run in (student, teacher))
    assert torch.equal(ours["test.ids"], DIGITS.test.ids)
    scores, followed = (Scores.of(kept["test.logits"], kept["test.labels"]) for kept in (ours, theirs))
    assert student.metrics["errors"] == all_metrics(scores, DIGITS.classes)["errors"]
    agreement = fidelity(scores, followed, divergence(ours["test.logits"], theirs["test.logits"]))
    assert student.metrics["agreement"] == agreement["agreement"]
    assert student.metrics["kl_to_teacher"] == pytest.approx(agreement["kl_to_teacher"], rel=1e-5)


@pytest.mark.parametrize(
    ("subject", "arguments", "error", "message"),
    [
        (nn.Linear(2, 2), {}, ConfigError, "evaluating a Linear needs data"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 9)), {"data": DIGITS}, MismatchError, "the model has 9 classes"),
        (
            nn.Flatten(),
            {"data": DIGITS, "split": "tset"},
            DataError,
            "split 'tset' does not exist; expected train, validation",
        ),
    ],
)
def test_refuses_in_words(subject, arguments, error, message):
    with pytest.raises(error, match=message):
        evaluate(subject, **arguments)


def test_a_teacher_with_other_classes_is_refused(runs):
    with pytest.raises(MismatchError, match="the teacher has 9 classes, and the data have 10"):
        evaluate(runs[1], teacher=nn.Sequential(nn.Flatten(), nn.Linear(64, 9)))


def test_samples_without_any_label_cannot_be_judged():
    inputs = torch.rand(6, 4)
    data = load_data((inputs, torch.arange(6) % 2, inputs, None), validation=0)
    with pytest.raises(DataError, match="no sample of 'test arrays' has a label"):
        evaluate(nn.Linear(4, 2), data)


def test_a_class_is_no_network(tmp_path):
    run = train("digits", nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), out=tmp_path / "run", epochs=1)
    with pytest.raises(ConfigError, match=r"network= must be a module or its package\.module:name, got type"):
        evaluate(run.path, "digits", network=nn.Flatten)
