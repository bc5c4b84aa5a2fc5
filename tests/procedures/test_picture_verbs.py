"""Every verb reads a file of paths and words, with a word for missing labels and a test set drawn from train, alike."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import instar as package
from instar.runs.run import Run

WORDS = ["yes", "no", "on", "off"]


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of rows beside its pictures, of several sizes, whose words YAML would read as truth values."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    random, found = np.random.default_rng(0), []
    for number in range(48):
        kind = WORDS[number % 4]
        pixels = random.integers(0, 90, (10 + number % 5, 12 + number % 3, 3)) + 50 * (number % 4)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"{number}.png")
        found.append({"file": f"photos/{number}.png", "kind": kind})
    pd.DataFrame(found).to_csv(tmp_path / "photos.csv", index=False)
    return tmp_path / "photos.csv"


SETTINGS = ["data.label_column=kind", "data.unlabelled=no", "data.classes=[yes, on, off]", "data.test=0.25"]
DATA = [word for setting in [*SETTINGS, "data.split_seed=3"] for word in ("--set", setting)]
STUDENT = ["--model", "mlp", "--arg", "widths=[4]", "--epochs", "2", "--set", "training.batch_size=8"]


def test_every_verb_reads_them_alike(instar, pictures: Path) -> None:
    def run(*words: object) -> str:
        code, out, err = instar(*words)
        assert code == 0, f"{words}: {err}"
        return str(out)

    run("train", pictures, *DATA, *STUDENT, "--out", "runs/a")
    run("train", pictures, *DATA, *STUDENT, "--seed", 1, "--out", "runs/b")
    first = Run("runs/a")
    assert first.classes == ("yes", "on", "off")
    assert first.config["data"]["unlabelled"] == "no"
    metrics = first.result["metrics"]
    assert metrics["samples"] == 9  # of each class 3, and those without a label are not judged
    run("label", pictures, *DATA, "--teacher", "runs/a", "--out", "store")
    run("targets", "verify", "store", "--teacher", "runs/a")
    run("distill", pictures, *DATA, *STUDENT, "--teacher", "store", "--objective", "SoftTargets(2)", "--out", "runs/c")
    run("born-again", pictures, *DATA, *STUDENT, "--generations", 1, "--no-controls", "--out", "lineage")
    grid = ["--temperatures", "1,2", "--weights", "0", "--seeds", 2]
    run("tune", pictures, *DATA, *STUDENT, "--teacher", "runs/a", *grid, "--out", "tuned")
    assert "runs/c" in run("compare", "runs/a", "runs/c")
    assert "complete" in run("inspect", "runs/c")
    run("export", "runs/c", "--to", "safetensors")
    assert json.loads(run("evaluate", "runs/a", "--json"))["errors"] == metrics["errors"]
    # the same file under another name has the same test set, and so has its table in Python
    moved = pictures.with_name("moved.csv")
    moved.write_text(pictures.read_text())
    again = json.loads(run("evaluate", "runs/a", "--data", moved, "--json"))
    assert (again["errors"], again["nll"]) == (metrics["errors"], metrics["nll"])
    code, _, err = instar("evaluate", "runs/a", "--data", moved)
    # new data of which only a part is judged, and this is said
    assert code == 0
    assert (
        err == f"instar: '{moved}' has no test split; its test set is 12 of its 48 samples, drawn by data.test=0.25.\n"
    )
    given = package.evaluate(first, pd.read_csv(moved))
    assert (given["errors"], given["samples"]) == (metrics["errors"], 9)
