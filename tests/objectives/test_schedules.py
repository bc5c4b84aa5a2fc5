"""Weights that change over a training: in text and Python, in the loop, and after a kill."""

import pytest
import torch
from tests.same_runs import assert_same

from instar.data import Batch, load_data
from instar.errors import ConfigError
from instar.models import MLP
from instar.objectives import HardLabels, SoftTargets, decay, parse_objective, warmup
from instar.procedures.distill import distill
from instar.procedures.train import train

DIGITS = load_data("digits", subset=120)
SETTINGS = {"epochs": 3, "batch_size": 32, "learning_rate": 0.02, "log_every": 1, "checkpoint_seconds": 0}
TEXT = "decay(2) * SoftTargets(4) + warmup(0.5, 0.25) * HardLabels()"


def test_text_and_python_are_the_same():
    objective = decay(2) * SoftTargets(4) + warmup(0.5, until=0.25) * HardLabels()
    assert parse_objective(TEXT) == objective
    assert parse_objective(repr(objective)) == objective
    assert 2 * objective == decay(4) * SoftTargets(4) + warmup(1, 0.25) * HardLabels()
    assert decay(2) * (SoftTargets(4) + 0.5 * HardLabels()) == decay(2) * SoftTargets(4) + decay(1) * HardLabels()
    assert repr(objective.at(0.5)) == "SoftTargets(temperature=4) + 0.5 * HardLabels(label_smoothing=0.0)"
    assert SoftTargets(4).__rmul__(1.0).at(0.5).parts == ((1.0, SoftTargets(4)),)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("decay(-1) * HardLabels()", "must be at least 0, got -1"),
        ("warmup(1, 2) * HardLabels()", "must be above 0 and at most 1"),
        ("warmup(1, 'a') * HardLabels()", "must be above 0 and at most 1, a share of all steps, got 'a'"),
        ("warmup(1) * HardLabels()", "cannot be made"),
        ("decay(1) * decay(1) * HardLabels()", "needs a number or a literal"),
        ("decay(1) * (decay(1) * HardLabels())", "a term has one schedule"),
        ("decay(0) * HardLabels() + decay(1)", "unknown"),
    ],
)
def test_refuses_in_words(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_objective(text)


def test_a_loss_without_a_step_is_refused():
    with pytest.raises(ConfigError, match="has no value without a step"):
        (decay(1) * HardLabels())(torch.zeros(1, 2), Batch.of_labels(torch.tensor([0])), None)


def test_each_step_has_its_weights_also_after_a_kill(tmp_path, stop_before):
    teacher = train(DIGITS, MLP([8]), out=tmp_path / "teacher", epochs=1)
    straight = distill(DIGITS, teacher, MLP([8]), out=tmp_path / "straight", objective=TEXT, **SETTINGS)
    lines = [line for line in straight.history() if line["kind"] == "train"]
    for line in lines:
        share = (line["step"] - 1) / 12
        wanted = 2 * (1 - share) * line["soft_targets"] + 0.5 * min(1, share / 0.25) * line["hard_labels"]
        assert line["loss"] == pytest.approx(wanted, rel=1e-5)
    stopped = stop_before(5)
    with pytest.raises(stopped):
        distill(DIGITS, teacher, MLP([8]), out=tmp_path / "stopped", objective=TEXT, **SETTINGS)
    assert_same(straight, distill(DIGITS, teacher, MLP([8]), out=tmp_path / "stopped", objective=TEXT, **SETTINGS))
