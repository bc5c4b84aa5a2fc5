"""Tasks that workers can import."""

import importlib
import sys
from pathlib import Path

import pytest

from instar import cli


@pytest.fixture(scope="module")
def tasks():
    """The module of tasks, by a name that other processes find: pytest's own name for it means nothing to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("job_tasks")


@pytest.fixture(scope="module")
def deaths(tasks):
    """The module of tasks that end their worker."""
    return importlib.import_module("job_deaths")


@pytest.fixture
def instar(monkeypatch, capfd):
    """Run the command line in this process; return its exit code, stdout and stderr, those of other processes too."""

    def run(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["instar", *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])
        code: object = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capfd.readouterr()

    return run
