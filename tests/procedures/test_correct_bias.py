"""A student that never saw a class, before and after the repair."""

import pytest
import torch

from instar.data import Samples, load_data
from instar.errors import ConfigError, DataError, RunError
from instar.models import MLP
from instar.procedures.correct_bias import correct_bias
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train
from instar.runs.run import Run
from instar.teachers import Module
from instar.training import predict

DIGITS = load_data("digits")


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bias")
    teacher = train(DIGITS, MLP([32]), out=folder / "teacher", epochs=10, learning_rate=0.01)
    data = DIGITS.select(omit_classes=["3"])
    return distill(
        data, teacher, MLP([32]), objective="SoftTargets(4)", out=folder / "student", epochs=8, learning_rate=0.01
    )


def last_bias(run):
    return list(run.model.parameters())[-1].detach()


def test_prior_rule_finds_the_class_without_labels_and_stores_the_shift(student, tmp_path):
    run = correct_bias(student, ["3"], out=tmp_path / "run")
    moved = last_bias(run) - last_bias(student)
    assert moved[3].item() == pytest.approx(run.result["offset"]["3"], abs=1e-5)
    assert moved[3] > 0
    assert (moved[[0, 1, 2, 4, 5, 6, 7, 8, 9]] == 0).all()
    whole = Samples.all_of(DIGITS.train.source)
    share = torch.softmax(predict(Module(run.model), whole).double(), 1).mean(0)[3]
    assert share.item() == pytest.approx((whole.labels == 3).double().mean().item(), abs=1e-5)
    before, after = evaluate(student), evaluate(run)
    assert after == evaluate(str(run.path)) == evaluate(Run(run.path))
    assert after["errors"] == run.metrics["errors"]
    assert after["class_errors"]["3"][0] < before["class_errors"]["3"][0]


def test_labelled_rule_saves_errors_on_the_validation_split(student, tmp_path):
    run = correct_bias(student, ["3", "8"], rule="labelled", out=tmp_path / "run")
    moved = last_bias(run) - last_bias(student)
    torch.testing.assert_close(moved[3], moved[8])
    assert evaluate(run, split="validation")["errors"] < evaluate(student, split="validation")["errors"]


def test_a_given_offset_is_used_as_it_is(student, tmp_path):
    run = correct_bias(student, ["7", "8"], offset=-7.6, out=tmp_path / "run")
    moved = last_bias(run) - last_bias(student)
    torch.testing.assert_close(moved[[7, 8]], torch.tensor([-7.6, -7.6]))
    assert run.result["offset"] == {"7": pytest.approx(-7.6), "8": pytest.approx(-7.6)}
    assert run.config["correction"]["rule"] == "given"


def test_priors_may_be_given(student, tmp_path):
    prior = [0.08] * 3 + [0.28] + [0.08] * 3 + [0.16, 0.08, 0.0]
    run = correct_bias(student, ["3"], prior=prior, out=tmp_path / "run")
    found = predict(Module(run.model), Samples.all_of(DIGITS.train.source)).double()
    assert torch.softmax(found, 1).mean(0)[3].item() == pytest.approx(0.28, abs=1e-5)


def test_doing_it_again_changes_nothing_and_otherwise_is_refused(student, tmp_path):
    first = correct_bias(student, ["3"], out=tmp_path / "run")
    written = (first.path / "result.json").stat().st_mtime_ns
    correct_bias(student, ["3"], out=tmp_path / "run")
    assert (first.path / "result.json").stat().st_mtime_ns == written
    with pytest.raises(RunError, match="another configuration"):
        correct_bias(student, ["3"], offset=1.0, out=tmp_path / "run")


def test_a_run_of_a_network_given_as_an_object_is_corrected(tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    run = train(DIGITS, network, out=tmp_path / "run", epochs=1)
    fixed = correct_bias(run, ["3"], offset=2.0, out=tmp_path / "fixed")
    torch.testing.assert_close(last_bias(fixed)[3], last_bias(run)[3] + 2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"classes": ["three"]}, DataError, "class 'three' is not in"),
        ({"rule": "guess"}, ConfigError, "must be 'prior' or 'labelled', got 'guess'"),
        ({"prior": [0.5, 0.5]}, ConfigError, "must have 10 shares that sum to 1"),
        ({"rule": "labelled", "data": load_data("digits", validation=0)}, DataError, "needs a labelled validation"),
    ],
)
def test_refuses_in_words(student, tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        correct_bias(student, **{"classes": ["3"], "out": tmp_path / "run"} | arguments)
