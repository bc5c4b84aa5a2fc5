"""The tables of speech on recordings that a test makes: whole, resumable, and right about what they count."""

from pathlib import Path
from statistics import mean

import pytest
import torch

from instar.analysis import spoken_words, word_scores
from instar.papers import run_paper
from instar.papers.hinton2014_speech import SCALES, SPEAKERS, SpeechPlan, _findings, few_data_folder
from instar.runs.files import read_tensors
from instar.runs.run import Run

NAME = "hinton2014-speech"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    folder = tmp_path_factory.mktemp("table")
    run_paper(NAME, scale="smoke", data=str(recordings), out=folder)
    return folder


def test_every_row_is_there_for_both_splits(rows: dict) -> None:
    for split in ("own split", "speaker held out"):
        for net in ("one net, mean of 2", "their ensemble", "distilled into one"):
            for quantity in ("frame accuracy", "word accuracy"):
                assert len(rows[f"{split}: {net}", quantity]["seeds"]) == 2
        for way in ("labels", "labels, early stopping", "soft targets"):
            for quantity in ("frame accuracy", "frame accuracy, training"):
                assert 0 <= rows[f"{split}: 30% of the data, {way}", quantity]["mean"] <= 100
    assert rows["own split: one net, mean of 2", "frame accuracy"]["published"] == 58.9
    assert rows["speaker held out: one net, mean of 2", "frame accuracy"]["published"] is None


def test_the_net_to_beat_is_the_mean_of_all(folder: Path, rows: dict) -> None:
    expected = [
        mean(
            100 * (1 - Run(folder / "runs" / "own" / str(seed) / f"net-{number}").metrics["error"])
            for number in range(2)
        )
        for seed in range(2)
    ]
    assert rows["own split: one net, mean of 2", "frame accuracy"]["seeds"] == pytest.approx(expected)


def test_soft_targets_are_compared_with_both_ways_to_learn_from_labels(
    folder: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = {
        few_data_folder(0.3, "soft"): 70.0,
        few_data_folder(0.3, "hard"): 64.0,
        few_data_folder(0.3, "stopped"): 71.5,
    }
    monkeypatch.setattr(SpeechPlan, "frame_accuracy", lambda plan, name: frames.get(name, 50.0) + plan.seed)
    plans = [
        SpeechPlan(SCALES["smoke"], str(recordings), folder / "runs" / "own" / str(seed), seed, None) for seed in (0, 1)
    ]
    said = _findings("own split", plans)
    claim = "With 30% of the data, soft targets better than labels"
    assert f"{claim} to the end: held (6.00 points" in said
    assert f"{claim} with early stopping: did not hold; the opposite did (-1.50 points" in said


def test_curves_are_those_of_the_runs(folder: Path, rows: dict) -> None:
    row = rows["own split: 30% of the data, labels", "frame accuracy"]
    lines = Run(folder / "runs" / "own" / "0" / "few-30-hard").history()
    expected = [
        [line["epoch"], pytest.approx(100 * (1 - line["error"]), abs=0.01)] for line in lines if "error" in line
    ]
    assert row["settings"]["curve"][0] == expected


def test_a_held_out_speaker_is_in_the_test_set_alone_and_another_for_each_seed(folder: Path, recordings: Path) -> None:
    plans = [SpeechPlan(SCALES["smoke"], str(recordings), folder, seed, SPEAKERS[seed]) for seed in range(2)]
    assert [len(plan.data.test) for plan in plans] == [33, 33]  # 27 of the train split, and 6 of the test split
    assert all(len(plan.data.train.source) == 123 for plan in plans)


def test_words_are_those_of_the_predictions(folder: Path, recordings: Path) -> None:
    plan = SpeechPlan(SCALES["smoke"], str(recordings), folder / "runs" / "own" / "0", 0, None)
    tensors, _ = read_tensors(folder / "runs" / "own" / "0" / "ensemble" / "predictions.safetensors")
    samples = plan.data.test
    assert torch.equal(tensors["test.ids"], samples.ids)
    scores = word_scores(tensors["test.logits"].log_softmax(2), samples.source.lengths[samples.ids], 3)
    assert scores.shape == (24, 3)
    right = int((spoken_words(scores) == samples.labels[:, 0] // 3).sum())
    assert plan.word_accuracy("ensemble") == pytest.approx(100 * right / 24)
    assert 0 < right < 24


def test_students_of_few_data_have_a_teacher_of_all_and_stop_as_they_should() -> None:
    plan = SpeechPlan(SCALES["small"], "source", Path("out"), 1, None)
    stages = {stage.out.name: stage.config for stage in plan.students()}
    soft, hard, stopped = (stages[f"few-3-{way}"] for way in ("soft", "hard", "stopped"))
    assert (soft.data.keep_fraction, soft.teachers) == (0.03, ("out/net-0",))
    assert (hard.training.patience, stopped.training.patience) == (0, stopped.training.epochs)
    assert stages["distilled"].teachers == ("out/ensemble",)
    assert len(stages) == 1 + 3 * 3


def test_a_finished_table_is_made_again_without_training(folder: Path, recordings: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}
    assert len(before) == 2 * 2 * (2 + 1 + 3)
    run_paper(NAME, scale="smoke", data=str(recordings), out=folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")} == before
