"""The table of what an ensemble hands on: students on the samples that it says, and shares of its own rows."""

from pathlib import Path

import pytest

from instar.papers import run_paper
from instar.papers.hinton2014_transfer import SCALES
from instar.papers.transfer_plan import ARMS, TransferPlan
from instar.runs.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    folder = tmp_path_factory.mktemp("table")
    run_paper("hinton2014-transfer", scale="smoke", data=str(recordings), out=folder)
    return folder


def test_gains_and_shares_are_those_of_their_rows(rows: dict) -> None:
    net, combined = (rows[name, "frame error"] for name in ("one net, mean of 2", "their ensemble"))
    words = "ensemble, without labels"
    student, control = (rows[name, "frame error"] for name in (words, "one net, without labels"))
    expected = [b - a for a, b in zip(student["seeds"], control["seeds"], strict=True)]
    assert rows[f"{words}, over its control", "gain in frame error"]["seeds"] == pytest.approx(expected)
    share = 100 * (net["mean"] - student["mean"]) / (net["mean"] - combined["mean"])
    assert rows[f"{words}: gain in frame error kept", "of mean gains"]["mean"] == pytest.approx(share)
    assert (net["published"], combined["published"]) == (41.1, 38.9)


def test_students_see_what_the_table_says(folder: Path, recordings: Path, rows: dict) -> None:
    plan = TransferPlan(SCALES["smoke"], str(recordings), folder / "runs" / "0", 0)
    stages = {arm.folder: stage for arm, stage in zip(ARMS, plan.students(), strict=True)}
    assert len(plan.data.train) == 50  # half of those that the scale keeps
    without_labels = {name for name, stage in stages.items() if stage.config.data.drop_labels == 1}
    assert without_labels == {"unlabelled", "unlabelled-one"}
    steps = {name: Run(stage.out).result["steps"] for name, stage in stages.items()}
    short = steps.pop("same-short")
    assert short == Run(folder / "runs" / "0" / "net-0").result["steps"]
    # an epoch of fewer recordings has a smaller last batch
    assert all(abs(number - 3 * short) <= 3 for number in steps.values())
    assert {name: Path(stage.config.teachers[0]).name for name, stage in stages.items() if stage.config.teachers} == {
        arm.folder: arm.teacher for arm in ARMS if arm.teacher
    }
    on_new = rows["one net, without labels: agreement on test recordings", "share of frames"]
    assert all(0 <= share <= 100 for share in on_new["seeds"])
