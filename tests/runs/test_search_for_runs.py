"""Folders that nobody would look for runs in end in a sentence: endless, deep and huge ones."""

from pathlib import Path

import pytest

import instar
from instar.errors import RunError
from instar.models import MLP
from instar.procedures.report import report
from instar.runs.rows import collect


def test_a_tree_of_many_folders_is_refused(tmp_path: Path) -> None:
    for number in range(19):
        (tmp_path / f"folder-{number}").mkdir()
    assert collect(tmp_path, max_folders=20) == []
    (tmp_path / "one-more").mkdir()
    with pytest.raises(RunError, match="contains more than 20 folders, which is too many to search"):
        collect(tmp_path, max_folders=20)


def test_a_deep_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join("a" * 150)).mkdir(parents=True)
    with pytest.raises(RunError, match="folders 101 deep"):
        report(tmp_path)


def test_links_in_a_circle_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert collect(tmp_path) == []
    with pytest.raises(RunError):
        report(tmp_path)
    with pytest.raises(RunError, match="is missing"):
        report(tmp_path / "self")


def test_exports_of_a_run_are_neither_runs_nor_of_another_program(tmp_path: Path) -> None:
    run = instar.train("digits", MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    instar.export(run, "hub")
    instar.export(run, "hub", out=tmp_path / "elsewhere")
    assert [(row.name, row.state) for row in collect(tmp_path)] == [("elsewhere", "foreign"), ("run", "complete")]
