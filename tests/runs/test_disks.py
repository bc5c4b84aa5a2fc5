"""Disks that are full, read-only, or allow small files alone: one sentence, or for what is complete the result."""

import ctypes
import os
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.chaos.harness import Ended, cli, problem_of, start
from tests.chaos.kills import words
from torch import Tensor

from instar.data import View
from instar.errors import RunError
from instar.models import MLP
from instar.procedures.train import train
from instar.seeds import Draws

VERBS = ["train", "distill", "label", "correct-bias", "export", "report"]


class Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def obey_permissions() -> None:
    """Let a process of root be stopped by the permissions of files, as those of other users are."""
    header, none = Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(header), none) == 0


def run(*arguments: str, limit: int = resource.RLIM_INFINITY) -> Ended:
    work = cli(*arguments)
    told, telling = os.pipe()  # a limit on files holds for those that stderr would go to

    def obedient() -> None:
        os.dup2(telling, 2)
        obey_permissions()
        work()

    ended = start(obedient, limits={resource.RLIMIT_FSIZE: limit}).wait()
    os.close(telling)
    with os.fdopen(told) as file:
        return replace(ended, err=file.read())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disks")
    assert run(*words("train", folder, folder / "teacher")).code == 0
    return folder


@pytest.fixture
def forbid(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    def forbid(folder: Path) -> None:
        paths = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in paths:
            path.chmod(0o500)
        request.addfinalizer(lambda: [path.chmod(0o700) for path in paths])
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(0o400)

    return forbid


@pytest.mark.parametrize("verb", VERBS)
def test_a_read_only_place_is_a_sentence(verb: str, base: Path, tmp_path: Path, forbid) -> None:
    forbid(tmp_path)
    ended = run(*words(verb, base, tmp_path / "out"))
    assert (ended.code, problem_of(ended)) == (2, None)
    assert "Permission denied" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["train", "distill", "label", "correct-bias", "born-again", "tune"])
def test_what_is_complete_may_be_read_only(verb: str, base: Path, tmp_path: Path, forbid) -> None:
    first = run(*words(verb, base, tmp_path / "out"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    forbid(tmp_path)
    again = run(*words(verb, base, tmp_path / "out"))
    assert (first.code, again.err if again.code else "") == (0, ""), first.err
    assert (again.code, again.out.splitlines()[1:]) == (0, first.out.splitlines()[1:])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("verb", ["train", "distill", "label", "correct-bias"])
def test_a_limit_on_the_size_of_files_is_a_sentence(verb: str, base: Path, tmp_path: Path) -> None:
    for limit in (0, 100, 1500, 5000, 20000):
        ended = run(*words(verb, base, tmp_path / "out"), limit=limit)
        assert problem_of(ended) is None
        assert ended.code == 0 or "File too large" in ended.err
    ended = run(*words(verb, base, tmp_path / "out"))
    assert (ended.code, problem_of(ended)) == (0, None)


@dataclass(frozen=True)
class WhileTraining(View):
    """No augmentation; does something to the run folder at the first batch after the folder is made."""

    run: Path
    act: Callable[[Path], None]

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        if (self.run / "config.json").exists():
            self.act(self.run)
        return inputs


def test_a_full_disk_for_error_txt_does_not_hide_the_error(tmp_path: Path) -> None:
    def fail(run: Path) -> None:
        (run / "error.txt").symlink_to("/dev/full")
        raise ZeroDivisionError

    view = WhileTraining(tmp_path / "run", fail)
    with pytest.raises(ZeroDivisionError):
        train("digits", MLP([4]), views=view, out=tmp_path / "run", epochs=1)


def test_a_run_folder_that_is_deleted_meanwhile_is_a_sentence(tmp_path: Path) -> None:
    view = WhileTraining(tmp_path / "run", shutil.rmtree)
    with pytest.raises(RunError, match="cannot be written: No such file or directory"):
        train("digits", MLP([4]), views=view, out=tmp_path / "run", epochs=1)
    assert os.listdir(tmp_path) == []
