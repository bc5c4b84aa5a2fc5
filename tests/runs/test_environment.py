"""What a run folder records about where it was made."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import instar.runs.environment as environment_module
from instar.runs.environment import commit, environment


def git(folder: Path, *words: str) -> str:
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *author, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def begin(folder: Path) -> None:
    """Make a checkout with the package inside it."""
    (folder / "package" / "runs").mkdir(parents=True)
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "runs" / "environment.py").write_text(Path(environment_module.__file__).read_text())
    git(folder, "init")
    git(folder, "add", "package")
    git(folder, "commit", "-m", "Begin")


def test_the_commit_is_that_of_the_checkout_and_tells_of_changes(tmp_path: Path) -> None:
    begin(tmp_path)
    assert commit(tmp_path / "package") == git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "package" / "__init__.py").write_text("changed")
    assert commit(tmp_path / "package") == git(tmp_path, "rev-parse", "HEAD") + "+changes"


def test_a_process_records_the_commit_that_it_imported_although_the_checkout_moves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # compiled code would be a change of this checkout
    spec = spec_from_file_location("imported", tmp_path / "package" / "runs" / "environment.py")
    assert spec
    assert spec.loader
    imported = module_from_spec(spec)
    spec.loader.exec_module(imported)
    before = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "commit", "--allow-empty", "-m", "Move on")
    (tmp_path / "package" / "__init__.py").write_text("changed")
    assert imported.environment()["commit"] == before
    assert imported.commit() == git(tmp_path, "rev-parse", "HEAD") + "+changes"


def test_the_commit_of_somebody_elses_checkout_is_not_ours(tmp_path: Path) -> None:
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "Another project")
    (tmp_path / "__init__.py").touch()
    assert commit(tmp_path) is None


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
