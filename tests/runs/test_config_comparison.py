"""The same run in other words: its parts are known by their fingerprints, wherever they lie."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from instar.errors import RunError
from instar.procedures.correct_bias import correct_bias
from instar.procedures.distill import distill
from instar.procedures.ensemble import ensemble
from instar.procedures.evaluate import evaluate
from instar.procedures.label import label
from instar.procedures.train import train
from instar.runs.config_comparison import describe_difference
from instar.runs.run import Run

TINY = {"model": {"name": "mlp", "arguments": {"widths": [4]}}, "epochs": 1}
DATA = {"source": "digits"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    train("digits", out="runs/t", **TINY)
    return tmp_path


def moved(home: Path) -> str:
    shutil.move("runs/t", "elsewhere")
    return "elsewhere"


def linked(home: Path) -> str:
    Path("link").symlink_to("runs")
    return "link/t"


@pytest.mark.parametrize("spell", [lambda _: "runs/t/", lambda home: home / "runs/t", moved, linked])
def test_a_teacher_may_be_found_anywhere(home: Path, spell: Callable[[Path], str]) -> None:
    first = distill(teacher="runs/t", data="digits", out="s", targets="kept/answers", **TINY)
    weights, written = first.weights.read_bytes(), first.weights.stat().st_mtime_ns
    teacher = spell(home)
    again = distill(teacher=teacher, data="digits", out=home / "s", targets=home / "kept/answers", **TINY)
    assert (again.weights.read_bytes(), again.weights.stat().st_mtime_ns) == (weights, written)
    distill(teacher=teacher, data="digits", out="other", targets="kept/answers", seed=0, **TINY)
    assert len(list(Path("kept/answers").iterdir())) == 1
    assert Path("other/weights.safetensors").read_bytes() == weights


def test_another_working_directory_is_no_other_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distill(teacher="runs/t", data="digits", out="s", **TINY)
    both = ensemble(["runs/t", "s"], out="both")
    corrected = correct_bias("runs/t", ["3"], out="corrected")
    started = train("digits", out="started", **TINY)
    (home / "below").mkdir()
    monkeypatch.chdir(home / "below")
    distill(teacher="../runs/t", data="digits", out="../s", **TINY)
    assert ensemble(["../runs/t", home / "s"], out="../both").result == Run(home / both.path).result
    assert correct_bias("../runs/t/", ["3"], out="../corrected").result == Run(home / corrected.path).result
    assert evaluate("../both", "digits")["errors"] == Run(home / "both").metrics["errors"]
    assert started.path == Path("started")


def test_members_that_are_others_now_are_refused(home: Path) -> None:
    train("digits", out="u", seed=1, **TINY)
    ensemble(["runs/t", "u"], out="both")
    shutil.rmtree("u")
    train("digits", out="u", seed=2, **TINY)
    with pytest.raises(RunError, match="was made of other models than its members' folders have now"):
        evaluate("both", "digits")


def test_another_teacher_in_the_same_place_is_another_run(home: Path) -> None:
    distill(teacher="runs/t", data="digits", out="s", **TINY)
    shutil.rmtree("runs/t")
    train("digits", out="runs/t", seed=1, **TINY)
    with pytest.raises(RunError, match=r"another configuration \(fingerprints\.teacher was '.*', now '.*'\)"):
        distill(teacher="runs/t", data="digits", out="s", **TINY)


def test_a_store_is_the_same_wherever_teacher_and_data_lie(home: Path) -> None:
    first = label("digits", "runs/t", out="store", show=False)
    fingerprint = first.fingerprint
    assert label("digits", moved(home), out="store", show=False).fingerprint == fingerprint


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"data": {"source": "a"}}, {"data": {"source": "/x/a"}}, ""),
        ({"data": {"source": "a", "tokenizer": "b"}}, {"data": {"source": "a", "tokenizer": "/x/b"}}, ""),
        ({"store": {"folder": "a"}}, {"store": {"folder": None}}, ""),
        ({"store": {"keep": "all"}}, {"store": {"keep": "top:3"}}, "store.keep was 'all', now 'top:3'"),
        ({"model": {"name": "transformers:."}}, {"model": {"name": f"transformers:{Path.cwd()}"}}, ""),
        ({"model": {"name": "mlp"}}, {"model": {"name": "cnn"}}, "model.name was 'mlp', now 'cnn'"),
        ({"start": "a"}, {"start": "b"}, "start was 'a', now 'b'"),  # neither has a fingerprint of it
        ({"seed": 0}, {"seed": 0, "start": None}, ""),  # from before there was the setting
    ],
)
def test_paths_are_only_where_things_were_found(before: dict, now: dict, found: str) -> None:
    fingerprints = {"data": {"train": "abc", "test": "def"}}
    one, two = ({"config": config, "fingerprints": fingerprints} for config in (before, now))
    assert describe_difference(one, two, {"config": {"start": None}}) == found
