"""A run that is stopped and taken up again ends with the very bits of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from tests.older import as_older
from tests.same_runs import assert_same

from instar.data import load_data
from instar.errors import RunError
from instar.models import CNN, MLP
from instar.procedures.distill import distill
from instar.procedures.train import train
from instar.runs.run import Run

DIGITS = load_data("digits", subset=120)
SETTINGS = {"epochs": 3, "batch_size": 32, "learning_rate": 0.02, "log_every": 1, "checkpoint_seconds": 0}
CASES = {
    "sgd": (MLP([16]), {"optimiser": "sgd"}),
    "sgd without momentum": (MLP([16]), {"optimiser": "sgd", "momentum": 0}),
    "adamw": (MLP([16]), {"weight_decay": 0.1}),
    "dropout": (MLP([16], dropout=0.5, input_dropout=0.2), {}),
    "average": (MLP([16]), {"ema": 0.9, "max_norm": 1.0}),
    "views": (MLP([16]), {"views": "Shift(1)", "gradient_clip": 0.5}),
    "views in turn": (MLP([16]), {"views": "Shift(1) + Flip()", "num_views": 2}),
    "parts and warm-up": (MLP([16], 0.5), {"micro_batches": 3, "schedule": "cosine", "warmup_epochs": 1}),
    "convolutions, adamw": (CNN([4, 6], 8, 0.5), {"ema": 0.9}),
    "convolutions, sgd": (CNN([4, 6], 8), {"optimiser": "sgd", "schedule": "step", "milestones": [1, 2]}),
    "bfloat16": (MLP([16], 0.5), {"precision": "bfloat16"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stopped_run_ends_alike(tmp_path, stop_before, name):
    model, settings = CASES[name]
    straight = train(DIGITS, model, out=tmp_path / "straight", **SETTINGS | settings)
    stopped = stop_before(5)
    with pytest.raises(stopped):
        train(DIGITS, model, out=tmp_path / "stopped", **SETTINGS | settings)
    folder = Run(tmp_path / "stopped")
    assert not folder.complete
    assert "StoppedError" in (folder.path / "error.txt").read_text()
    stopped = train(DIGITS, model, out=folder.path, **SETTINGS | settings)
    assert not (folder.path / "error.txt").exists()
    assert not folder.checkpoint.exists()
    assert_same(straight, stopped)


@pytest.mark.parametrize(("step", "targets"), [(0, "online"), (4, "online"), (11, "online"), (6, "memory")])
def test_a_stopped_distillation_ends_alike_wherever_it_was(tmp_path, stop_before, step, targets):
    teacher = train(DIGITS, MLP([8]), out=tmp_path / "teacher", epochs=1)
    settings = SETTINGS | {"views": "Shift(1)", "num_views": 2, "targets": targets}
    straight = distill(DIGITS, teacher, MLP([8], 0.5), out=tmp_path / "straight", **settings)
    stopped = stop_before(step)
    with pytest.raises(stopped):
        distill(DIGITS, teacher, MLP([8], 0.5), out=tmp_path / "stopped", **settings)
    assert_same(straight, distill(DIGITS, teacher, MLP([8], 0.5), out=tmp_path / "stopped", **settings))


def test_every_step_is_written_once_even_when_checkpoints_are_rare(tmp_path, stop_before):
    for step in (3, 9):
        stopped = stop_before(step)
        with pytest.raises(stopped):
            train(DIGITS, MLP([4]), out=tmp_path / "run", **SETTINGS | {"checkpoint_seconds": 1e6})
    run = train(DIGITS, MLP([4]), out=tmp_path / "run", **SETTINGS | {"checkpoint_seconds": 1e6})
    assert [line["step"] for line in run.history() if line["kind"] == "train"] == list(range(1, 13))
    assert [line["step"] for line in run.history() if line["kind"] == "validation"] == [4, 8, 12]


def test_a_complete_run_is_not_run_again(tmp_path):
    first = train(DIGITS, MLP([4]), out=tmp_path / "run", **SETTINGS)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.path.iterdir()}
    again = train(DIGITS, MLP([4]), out=tmp_path / "run", **SETTINGS)
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in first.path.iterdir()}
    before.pop(".lock"), after.pop(".lock")
    assert after == before
    assert again.metrics == first.metrics


@pytest.mark.parametrize("finished", [True, False])
def test_another_configuration_in_the_folder_is_refused_by_its_fields(tmp_path, stop_before, finished):
    if finished:
        train(DIGITS, MLP([4]), out=tmp_path / "run", **SETTINGS)
    else:
        stopped = stop_before(2)
        with pytest.raises(stopped):
            train(DIGITS, MLP([4]), out=tmp_path / "run", **SETTINGS)
    with pytest.raises(RunError, match=r"another configuration .*seed was 0, now 1; training\.epochs was 3, now 4"):
        train(DIGITS, MLP([4]), out=tmp_path / "run", seed=1, **SETTINGS | {"epochs": 4})
    with pytest.raises(RunError, match=r"data\.subset was 120, now 119"):
        train(load_data("digits", subset=119), MLP([4]), out=tmp_path / "run", **SETTINGS)


SCRIPT = """
import json, sys
import torch
torch.set_num_threads(1)
from instar.data import load_data
from instar.models import CNN
from instar.procedures.train import train
train(load_data("digits", subset=120), CNN([4, 6], 8, 0.5), out=sys.argv[1], **json.loads(sys.argv[2]))
"""


def test_a_killed_process_loses_nothing(tmp_path):
    settings = {
        "epochs": 40,
        "batch_size": 32,
        "log_every": 1,
        "checkpoint_seconds": 0,
        "ema": 0.9,
        "views": "Shift(1)",
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed"), json.dumps(settings)]
    for wait in (1, 2):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
        file, deadline = tmp_path / "killed" / "metrics.jsonl", time.monotonic() + 60
        seen = file.read_text().count("\n") if file.exists() else 0
        while process.poll() is None and time.monotonic() < deadline:
            if file.exists() and file.read_text().count("\n") > seen + 10 * wait:
                break
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.1))  # anywhere within a step, or while a checkpoint is written
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not Run(tmp_path / "killed").complete
    killed = train(DIGITS, CNN([4, 6], 8, 0.5), out=tmp_path / "killed", **settings)
    straight = train(DIGITS, CNN([4, 6], 8, 0.5), out=tmp_path / "straight", **settings)
    assert_same(straight, killed)


def test_a_folder_made_before_there_was_a_setting_has_its_default(tmp_path):
    train(DIGITS, MLP([8]), out=tmp_path / "run", **SETTINGS)
    as_older(tmp_path / "run")
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    del content["config"]["training"]["gradients_every"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    train(DIGITS, MLP([8]), out=tmp_path / "run", **SETTINGS)
    with pytest.raises(RunError, match=r"training\.gradients_every was 0, now 2"):
        train(DIGITS, MLP([8]), out=tmp_path / "run", **SETTINGS, gradients_every=2)
