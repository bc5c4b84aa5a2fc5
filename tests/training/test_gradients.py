"""Measuring the gradient changes nothing, writes one line per step that is due, and survives a kill."""

import json

import pytest
import torch
from torch import nn

from instar.data import Loader, load_data
from instar.errors import ConfigError
from instar.models import CNN, MLP
from instar.procedures.distill import distill
from instar.procedures.report import report
from instar.procedures.train import train
from instar.reporting.curves import extract_series
from instar.runs.rows import collect

DIGITS = load_data("digits", subset=110)
SETTINGS = {"epochs": 3, "batch_size": 32, "learning_rate": 0.02, "log_every": 5}


def with_statistics():
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(144, 10))


def lines(run, kind="gradients"):
    return [line for line in run.history() if line["kind"] == kind]


CASES = {
    "dropout": (MLP([16], 0.5), {"optimiser": "sgd"}),
    "parts": (CNN([4, 6], 8, 0.5), {"micro_batches": 3, "ema": 0.9, "gradient_clip": 0.5}),
    "running statistics": (with_statistics(), {"objective": "SoftTargets(2) + ConfidenceWeighted()"}),
    "bfloat16": (MLP([16], 0.5), {"precision": "bfloat16"}),
    "labels dropped": (MLP([16], 0.5), {"views": "Shift(1)"}),
}


@pytest.mark.parametrize("name", CASES)
def test_measuring_leaves_every_bit_as_it_was(tmp_path, name):
    model, settings = CASES[name]
    data = load_data("digits", subset=110, drop_labels=0.5) if name == "labels dropped" else DIGITS
    teacher = train(DIGITS, MLP([8]), out=tmp_path / "teacher", epochs=1)
    plain, measured = (
        distill(data, teacher, model, out=tmp_path / str(every), gradients_every=every, **SETTINGS | settings)
        for every in (0, 2)
    )
    left, right = plain.model.state_dict(), measured.model.state_dict()
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert [line["loss"] for line in lines(plain, "train")] == [line["loss"] for line in lines(measured, "train")]
    assert lines(plain) == []
    found = lines(measured)
    assert [line["step"] for line in found] == [2, 4, 6, 8, 10, 12]
    assert [line["epoch"] for line in found] == [0.5, 1, 1.5, 2, 2.5, 3]
    for line in found:
        assert line["ground_truth_norm"] > 0
        assert line["dark_knowledge_norm"] > 0
        assert 0 <= line["angle"] <= 180
        assert 0 < line["importance_smallest"] <= line["importance_mean"] <= line["importance_largest"] <= 1
        assert 0 < line["effective_share"] <= 1 + 1e-6
        size = len(Loader(data.train, 32, seed=0).batch(line["step"] - 1))
        assert (line["labelled"] < size) == (name == "labels dropped")


def test_parts_are_measured_as_one_batch(tmp_path):
    teacher = train(DIGITS, MLP([8]), out=tmp_path / "teacher", epochs=1)
    settings = SETTINGS | {"optimiser": "sgd", "gradients_every": 1}
    whole, parts = (
        distill(DIGITS, teacher, MLP([8]), out=tmp_path / str(n), micro_batches=n, **settings) for n in (1, 5)
    )
    assert len(lines(whole)) == len(lines(parts)) == 12
    for one, other in zip(lines(whole), lines(parts), strict=True):
        assert one.pop("kind") == other.pop("kind")
        assert one == pytest.approx(other, rel=1e-3, abs=1e-6)


def test_without_a_teacher_there_are_no_importance_weights(tmp_path):
    run = train(DIGITS, MLP([8]), out=tmp_path / "run", gradients_every=4, **SETTINGS)
    assert all("angle" in line and not any("importance" in name for name in line) for line in lines(run))


def test_what_cannot_be_told_is_none_in_json(tmp_path):
    data = load_data("digits", subset=110, drop_labels=1.0)
    teacher = train(DIGITS, MLP([8]), out=tmp_path / "teacher", epochs=1)
    run = distill(data, teacher, MLP([8]), objective="SoftTargets", out=tmp_path / "run", gradients_every=5, **SETTINGS)
    refused = (tmp_path / "run" / "metrics.jsonl").read_text()
    found = [json.loads(line, parse_constant=pytest.fail) for line in refused.splitlines()]
    assert [line["angle"] for line in found if line["kind"] == "gradients"] == [None, None]
    assert lines(run)[0]["labelled"] == 0


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e6])
def test_a_stopped_run_writes_every_measurement_once(tmp_path, stop_before, checkpoint_seconds):
    settings = SETTINGS | {"gradients_every": 2, "log_every": 3, "checkpoint_seconds": checkpoint_seconds}
    straight = train(DIGITS, MLP([8], 0.5), out=tmp_path / "straight", **settings)
    with pytest.raises(stop_before(7)):
        train(DIGITS, MLP([8], 0.5), out=tmp_path / "stopped", **settings)
    stopped = train(DIGITS, MLP([8], 0.5), out=tmp_path / "stopped", **settings)
    assert lines(stopped) == lines(straight)
    assert [line["step"] for line in lines(stopped)] == [2, 4, 6, 8, 10, 12]


def test_the_report_draws_them_beside_the_curves_that_it_drew_before(tmp_path):
    for every in (0, 1):
        train(DIGITS, MLP([8]), out=tmp_path / str(every) / "run", gradients_every=every, **SETTINGS)
    without, beside = (extract_series(collect(tmp_path / str(every))[0].history) for every in (0, 1))
    for found in (without, beside):
        del found["train seconds"]
    assert {name: beside[name] for name in without} == without
    assert beside.keys() > without.keys()
    assert report(tmp_path / "1").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradients_every": -1}, r"'training\.gradients_every': .* greater than or equal to 0, got -1"),
        ({"gradients_every": 1, "compile": True}, "gradients_every must be 0 when compile is true, got 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        train(DIGITS, MLP([8]), out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
