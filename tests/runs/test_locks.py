"""Who works in a folder: one process at a time, and what dead ones have left is removed."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.chaos.harness import Child, start

from instar.errors import RunError
from instar.runs import locks
from instar.runs.locks import LOCK_FILE, hold_folder, remove_left_over, whole
from instar.runs.run import Run

CONFIG = {"seed": 0}


@contextmanager
def holding(folder: Path) -> Iterator[Child]:
    """Let another process hold a folder."""
    ready, held = os.pipe()

    def work() -> None:
        with hold_folder(folder):
            os.write(held, b".")
            threading.Event().wait(60)

    child = start(work)
    os.read(ready, 1)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def test_the_same_run_waits_until_the_other_process_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.start(tmp_path / "run", CONFIG, {})
    with holding(run.path) as other:
        threading.Timer(0.2, other.kill).start()
        with Run.held(run.path, CONFIG, {}) as mine:
            assert mine.path == run.path
    assert capsys.readouterr().err == f"instar: another process is using '{run.path}'; waiting until it ends.\n"


def test_another_run_is_refused_though_the_folder_is_held(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", CONFIG, {})
    with holding(run.path), pytest.raises(RunError, match=r"another configuration \(seed was 0, now 1\)"):
        Run.start(run.path, {"seed": 1}, {})


def test_a_configuration_that_appears_while_waiting_is_compared(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "run"
    with holding(folder):
        monkeypatch.setattr(locks.time, "sleep", lambda _: (folder / "config.json").write_text(theirs))
        theirs = '{"format": 1, "config": {"seed": 1}, "fingerprints": {}}'
        with pytest.raises(RunError, match=r"another configuration \(seed was 1, now 0\)"):
            Run.start(folder, CONFIG, {})


def test_two_threads_hold_a_folder_one_after_the_other(tmp_path: Path) -> None:
    inside: list[int] = []

    def work() -> None:
        with hold_folder(tmp_path):
            inside.append(1)
            assert len(inside) == 1
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / LOCK_FILE).exists()


def test_a_folder_that_was_deleted_and_made_again_is_another(tmp_path: Path) -> None:
    with hold_folder(tmp_path / "run"):
        (tmp_path / "run").rename(tmp_path / "deleted")
        with hold_folder(tmp_path / "run"):
            pass


def begin(path: Path) -> Child:
    """Let another process begin to write a file, and hang."""
    ready, begun = os.pipe()

    def work() -> None:
        with whole(path) as temporary:
            temporary.write_text("half")
            os.write(begun, b".")
            threading.Event().wait(60)

    child = start(work)
    os.read(ready, 1)
    return child


def test_what_a_process_is_writing_stays_until_it_is_dead(tmp_path: Path) -> None:
    child = begin(tmp_path / "a.json")
    (partial,) = tmp_path.iterdir()
    remove_left_over(tmp_path)
    assert (partial / "a.json").read_text() == "half"
    child.kill()
    child.wait()
    remove_left_over(tmp_path, "b.json")
    assert partial.exists()
    with whole(tmp_path / "a.json") as temporary:
        temporary.write_text("whole")
        assert not partial.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_files_of_older_versions_and_of_libraries_are_removed_too(tmp_path: Path) -> None:
    (tmp_path / ".a.json.123.partial").touch()  # before there were folders
    folder = tmp_path / ".weights.safetensors.abc.partial"
    folder.mkdir()
    (folder / ".tmpXyZ").touch()  # of safetensors, which renames it
    (tmp_path / ".link.1.partial").symlink_to(tmp_path)
    os.mkfifo(tmp_path / ".pipe.1.partial")
    remove_left_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".link.1.partial"]


def test_a_writer_whose_folder_is_taken_away_at_once_takes_another(tmp_path: Path, monkeypatch) -> None:
    made = locks.tempfile.mkdtemp
    left = [None, None]

    def mkdtemp(*arguments: object) -> str:
        folder: str = made(*arguments)
        if left:
            left.pop()
            remove_left_over(tmp_path)
        return folder

    monkeypatch.setattr(locks.tempfile, "mkdtemp", mkdtemp)
    with whole(tmp_path / "a.json") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a.json").read_text() == "whole"


def test_a_file_system_without_locks_holds_no_runs_but_whole_files(tmp_path: Path, monkeypatch) -> None:
    def flock(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(RunError, match=r"cannot lock files \(No locks available\); choose another folder"):
        Run.start(tmp_path / "run", CONFIG, {})
    (tmp_path / ".b.json.1.partial").touch()
    with whole(tmp_path / "a.json") as temporary:
        temporary.touch()
        remove_left_over(tmp_path)
        assert temporary.exists()


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(RunError, match="is not a regular file or folder, so it is not replaced"), whole(pipe) as begun:
        begun.write_text("new")
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
