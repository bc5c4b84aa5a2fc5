"""What a run folder records about where it was made."""

import subprocess
import sys
from pathlib import Path

import pytest

from instar.runs.environment import commit, environment


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *author, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout_and_tells_of_changes(tmp_path: Path) -> None:
    file = tmp_path / "environment.py"
    file.touch()
    git(tmp_path, "init")
    git(tmp_path, "add", "environment.py")
    git(tmp_path, "commit", "-m", "Begin")
    assert commit(file) == git(tmp_path, "rev-parse", "HEAD")
    file.write_text("changed")
    assert commit(file) == git(tmp_path, "rev-parse", "HEAD") + "+changes"


def test_the_commit_of_somebody_elses_checkout_is_not_ours(tmp_path: Path) -> None:
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "Another project")
    (tmp_path / "environment.py").touch()
    assert commit(tmp_path / "environment.py") is None


def test_versions_machine_and_command_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/instar", "train", "some digits"])
    found = environment()
    assert found["command"] == "instar train 'some digits'"  # as a shell would have to be told
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["cpu"]


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit() is None
