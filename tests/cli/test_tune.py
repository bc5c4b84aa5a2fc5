"""`instar tune` from a teacher to the student that its last line makes."""

import gc
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.older import write_views

from instar.models import MLP
from instar.procedures.train import train

STUDENT = ["--model", "mlp", "--arg", "widths=[6]", "--epochs", "2", "--set", "data.subset=150"]
GRID = ["--temperatures", "1,4", "--weights", "0,0.5", "--seeds", "2"]


@pytest.fixture(scope="module", autouse=True)
def _garbage() -> Iterator[None]:
    """Every run ends with a collection, which need not walk through all that was imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "the teacher"
    train("digits", MLP([16]), out=out, epochs=4, learning_rate=0.01)
    return out


def test_a_search_ends_with_the_command_that_trains_its_choice(instar, teacher: Path, tmp_path: Path) -> None:
    views = ["--views", "Shift(1)", "--set", "num_views=2", "--set", "training.learning_rate=0.02"]
    command = ["tune", "digits", "--teacher", teacher, *STUDENT, *views, *GRID, "--out", tmp_path / "tune"]
    code, out, err = instar(*command)
    assert code == 0, err
    assert "rung 1: 4 candidates, 1 of 2 seeds" in err
    *_, warning, last = out.splitlines()
    assert "optimistic" in warning
    for trial in (tmp_path / "tune").glob("*-seed-*"):  # as older versions wrote them
        assert json.loads((trial / "config.json").read_text())["config"]["views"] == "Shift(1)"
        write_views(trial, "Shift(pixels=1)")
    code, found, err = instar(*command, "--json")
    assert code == 0, err
    values = json.loads(found)
    kept = json.loads((tmp_path / "tune" / "tune.json").read_text())
    assert kept.pop("checksum")
    assert values == kept
    assert values["command"] == last
    assert f"Chosen: {values['chosen']['objective']}, validation error" in out

    program, *arguments = shlex.split(last)
    assert program == "instar"
    code, out, err = instar(*arguments)
    assert code == 0, err
    student, trial = (
        json.loads((folder / "config.json").read_text())["config"]
        for folder in (tmp_path / "tune" / "student", Path(values["chosen"]["runs"][0]))
    )
    differing = {key for key in student if student[key] != trial[key]}
    assert differing == {"teachers", "judge_test", "view_seed", "views"}  # it may have views of its own
    assert student["views"] == "Shift(1)"
    assert student["teachers"] == [str(teacher)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--temperatures", "1;4"],
            "--temperatures must be numbers separated by commas, such as 1,2.5, got '1;4'.",
        ),
        (["--weights=-1,0"], "weights must be different numbers of at least 0, got -1, 0."),
        (["--set", "objective=HardLabels()"], "tune chooses the setting 'objective' of its trials; leave it out."),
        (["--model", "mpl"], "model 'mpl' is unknown; did you mean 'mlp'?"),
        (
            ["--set", "data.validation=0"],
            "tune needs a labelled validation split, and there is none; set data.validation above 0.",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(
    instar, teacher: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    code, out, err = instar("tune", "digits", "--teacher", teacher, *STUDENT, *arguments, "--out", tmp_path / "tune")
    assert (code, out) == (2, "")
    assert err == f"instar: {sentence}\n"
    assert not (tmp_path / "tune").exists()


def test_a_teacher_is_needed(instar, tmp_path: Path) -> None:
    code, _, err = instar("tune", "digits", *STUDENT, "--out", tmp_path / "tune")
    assert code == 2
    assert err == "instar: tune needs a teacher; give one, such as a run folder.\n"
