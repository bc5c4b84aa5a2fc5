"""The table of language models on a text that a test makes: whole, resumable, and right about what it counts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from instar.compute.precision import choose_fastest
from instar.config import ModelConfig, validate
from instar.models import build_network
from instar.papers import run_paper
from instar.papers.furlanello2018_ptb import SCALES
from instar.runs.run import Run

NAME = "furlanello2018-ptb"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    words = ["the", "cat", "dog", "sat", "ran", "<unk>"]
    for split, lines in (("train", 600), ("validation", 60), ("test", 60)):
        text = "\n".join(" ".join(random.choice(words, random.integers(1, 8))) for _ in range(lines))
        (folder / f"{split}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    folder = tmp_path_factory.mktemp("table")
    run_paper(NAME, scale="smoke", data=str(data), out=folder)
    return folder


def test_every_arm_of_both_nets_is_there(rows: dict) -> None:
    arms = ("teacher", "BAN+L", "BAN, soft targets alone", "a second net from labels")
    arms += ("ensemble of teacher and BAN+L", "ensemble of two nets from labels")
    for net in ("LSTM", "CNN-LSTM"):
        for arm in arms:
            for split in ("validation", "test"):
                row = rows[f"{net}: {arm}", f"{split} perplexity"]
                assert len(row["seeds"]) == 2
                assert 1 < row["mean"] < 100


def test_a_gain_is_the_difference_of_its_rows(rows: dict) -> None:
    before, after = (rows[f"LSTM: {arm}", "test perplexity"]["seeds"] for arm in ("teacher", "BAN+L"))
    gains = rows["LSTM: BAN+L over the teacher", "gain"]["seeds"]
    assert gains == pytest.approx([b - a for a, b in zip(after, before, strict=True)])


def test_students_have_the_seed_of_the_second_net_and_the_teacher_another(folder: Path) -> None:
    runs = {name: Run(folder / "runs" / "lstm" / name / "1") for name in ("teacher", "labels-2", "ban+l", "ban")}
    assert {name: run.config["seed"] for name, run in runs.items()} == {
        "teacher": 1000,
        "labels-2": 1001,
        "ban+l": 1001,
        "ban": 1001,
    }
    assert runs["ban"].config["objective"] == "SoftTargets(1)"
    assert runs["ban+l"].config["training"]["schedule"] == "plateau"


@pytest.mark.parametrize(("net", "parameters"), [(0, 51.0), (1, 19.4)])
def test_the_nets_of_the_paper_have_its_numbers_of_parameters(net: int, parameters: float) -> None:
    words = tuple(f"w{number}" for number in range(10_000))
    config = validate(ModelConfig, SCALES["paper"].nets[net].model)
    network = build_network(config, (35,), words, trust=False)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.1)


def test_a_finished_table_is_made_again_without_training(folder: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}
    assert len(before) == 2 * 2 * 4
    run_paper(NAME, scale="smoke", data=str(data), out=folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")} == before


def test_a_net_can_be_trained_and_shown_alone(folder: Path, data: Path, tmp_path: Path) -> None:
    table = run_paper(NAME, scale="smoke", data=str(data), out=tmp_path, seeds=1, nets=["CNN-LSTM"])
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["cnn-lstm"]
    assert {row.row.split(":")[0] for row in table.rows} == {"CNN-LSTM"}
    shown = run_paper(NAME, scale="smoke", data=str(data), out=folder, nets=["LSTM"])
    assert {row.row.split(":")[0] for row in shown.rows} == {"LSTM"}
    assert shown.findings.startswith("LSTM, teacher at")
    assert json.loads((folder / "origin.json").read_text())["training_precisions"] == [
        choose_fastest(torch.device("cpu"))
    ]


def test_the_gain_by_length_is_measured_after_each_epoch(data: Path, tmp_path: Path) -> None:
    table = run_paper(f"{NAME}-length", scale="smoke", data=str(data), out=tmp_path)
    rows = {(row.row, row.quantity): row.seeds for row in table.rows}
    for epochs, seeds in ((1, 2), (2, 1)):
        teacher, student = (f"LSTM, {epochs} epochs: {arm}" for arm in ("teacher", "BAN+L"))
        for epoch in range(1, epochs + 1):
            curve = f"validation perplexity after epoch {epoch}"
            gains = rows[f"{student} over the teacher", f"validation gain after epoch {epoch}"]
            expected = [a - b for a, b in zip(rows[teacher, curve], rows[student, curve], strict=True)]
            assert gains == pytest.approx(expected)
            assert len(gains) == seeds
        run = Run(tmp_path / "runs" / f"{epochs}-epochs" / "lstm" / "ban+l" / "0")
        assert rows[student, "test perplexity"][0] == run.metrics["perplexity"]
        assert rows[student, f"validation perplexity after epoch {epochs}"][0] == run.result["validation"]["perplexity"]
    # one epoch of a teacher and one of its student cost as much as two epochs from labels
    longer = rows["LSTM, 2 epochs: teacher", "test perplexity"]
    found = rows["LSTM, 1 epochs: BAN+L over 2 epochs from labels", "test gain"]
    assert found == pytest.approx([longer[0] - rows["LSTM, 1 epochs: BAN+L", "test perplexity"][0]])
    assert table.findings.startswith("LSTM, 1 epochs: BAN+L better than its teacher, over 2 paired seeds: ")
