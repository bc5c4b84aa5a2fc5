"""The loss of every step of a tiny run of each procedure is what it was.

A change of these numbers is a change of what everybody's runs do. Where it is meant, remake the files and say why in
the commit: `INSTAR_REMAKE_GOLDEN=1 pytest tests/golden`.
"""

import json
import os
from pathlib import Path

import pytest

from instar.data import load_data
from instar.models import CNN, MLP
from instar.procedures.born_again import born_again
from instar.procedures.distill import distill
from instar.procedures.train import train

HERE = Path(__file__).parent
SETTINGS = {"epochs": 2, "batch_size": 40, "learning_rate": 0.02, "log_every": 1}


def train_run(folder):
    data = load_data("digits", subset=200)
    return train(data, CNN([4], 8, 0.25), out=folder / "run", views="Shift(1)", ema=0.9, warmup_epochs=1, **SETTINGS)


def distill_run(folder):
    data = load_data("digits", subset=200)
    teacher = train(data, MLP([16]), out=folder / "teacher", optimiser="sgd", **SETTINGS)
    objective = "SoftTargets(4) + 0.1 * HardLabels(0.1)"
    return distill(
        data, teacher, MLP([8], 0.2), out=folder / "run", objective=objective, max_norm=2.0, micro_batches=2, **SETTINGS
    )


def born_again_run(folder):
    data = load_data("digits", subset=200)
    settings = SETTINGS | {"generations": 2, "controls": False, "show": False, "views": "Shift(1)"}
    return born_again(data, MLP([16], 0.2), out=folder / "lineage", **settings).generations[2]


def born_again_with_labels_run(folder):
    data = load_data("digits", subset=200)
    settings = SETTINGS | {"generations": 1, "controls": False, "show": False}
    objective = "SoftTargets(1) + HardLabels()"
    return born_again(data, CNN([4], 8), out=folder / "lineage", objective=objective, **settings).generations[1]


def ablations_run(folder):
    data = load_data("digits", subset=200)
    teacher = train(data, MLP([16]), out=folder / "teacher", optimiser="sgd", **SETTINGS)
    objective = (
        "ConfidenceWeighted() + PermutedDarkKnowledge() + DecoupledKD(1, 2, 4) + 9 * Standardised(SoftTargets(2))"
    )
    return distill(data, teacher, MLP([8]), out=folder / "run", objective=objective, micro_batches=2, **SETTINGS)


@pytest.mark.parametrize("make", [train_run, distill_run, born_again_run, born_again_with_labels_run, ablations_run])
def test_losses_are_what_they_were(tmp_path, make):
    run = make(tmp_path)
    steps = [line for line in run.history() if line["kind"] == "train"]
    beside = ("kind", "step", "epoch", "learning_rate", "examples", "seconds")
    found = {name: [line[name] for line in steps] for name in steps[0] if name not in beside}
    found["errors"] = run.metrics["errors"]
    file = HERE / f"{make.__name__}.json"
    if os.environ.get("INSTAR_REMAKE_GOLDEN"):
        file.write_text(json.dumps(found, indent=1) + "\n")
    wanted = json.loads(file.read_text())
    assert found.pop("errors") == pytest.approx(wanted.pop("errors"), abs=3)  # of 597: one bit may turn an answer
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=1e-4), name
