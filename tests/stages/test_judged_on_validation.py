"""Runs that leave the test split to a later number."""

import json
from pathlib import Path

from instar.runs.files import read_tensors
from instar.runs.run import Run

TRAIN = ["train", "digits", "--model", "mlp", "--arg", "widths=[4]", "--epochs", 1, "--set", "data.subset=100"]


def test_a_run_is_judged_on_validation_alone_and_says_so(instar, tmp_path: Path) -> None:
    code, out, err = instar(*TRAIN, "--set", "judge_test=false", "--out", tmp_path / "trial")
    assert code == 0, err
    assert out.startswith(f"{tmp_path / 'trial'} (validation)\n  errors ")
    assert instar(*TRAIN, "--out", tmp_path / "judged")[0] == 0
    trial, judged = Run(tmp_path / "trial"), Run(tmp_path / "judged")
    assert (trial.result["metrics"], trial.result["validation"]) == (None, judged.result["validation"])
    assert trial.weights.read_bytes() == judged.weights.read_bytes()
    names = read_tensors(trial.path / "predictions.safetensors")[0]
    assert {name.partition(".")[0] for name in names} == {"validation"}
    code, out, _ = instar("evaluate", trial.path, "--json")
    assert (code, json.loads(out)["errors"]) == (0, judged.metrics["errors"])


def test_there_must_be_something_to_be_judged_on(instar, tmp_path: Path) -> None:
    settings = ["--set", "judge_test=false", "--set", "data.validation=0"]
    code, _, err = instar(*TRAIN, *settings, "--out", tmp_path / "trial")
    assert code == 2
    assert err == "instar: the validation split has no labels, so the result could not be judged.\n"
    assert not (tmp_path / "trial").exists()
