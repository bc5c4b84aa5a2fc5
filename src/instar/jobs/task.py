"""One task, wherever it runs: its outcome, and the log and error that it leaves in its run folder."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from instar.errors import InstarError, RunError

T = TypeVar("T")

MAX_RETRIES = 3
"""Retries of a task whose worker was lost."""

RUNNING_LOG_FILE = ".log.txt"
"""Output of a running task; hidden, because a run does not start in a folder with visible files."""


class JobsError(InstarError):
    """Several tasks failed, or the worker of one was lost too often; names each task."""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The result of a task.

    Args:
        value: returned value.
        error: raised error; None if the task returned.
    """

    value: T | None = None
    error: Exception | None = None

    def get(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where the task returned it


@dataclass(frozen=True)
class Job(Generic[T]):
    """A task that works in a run folder.

    Args:
        run: the task.
        out: the run folder. The output of the task in a worker is appended to log.txt there, and a failure writes
            error.txt.
    """

    run: Callable[[], T]
    out: Path

    def __call__(self) -> T:
        """Run the task."""
        return self.run()


def folder_of(task: Callable[[], Any]) -> Path | None:
    """Return the run folder of a task; None for a task without one."""
    return task.out if isinstance(task, Job) else None


def name_of(task: Callable[[], Any], index: int) -> str:
    """Return a name for messages: the folder of a task, or its index.

    >>> name_of(print, 1)
    'task 1'
    """
    out = folder_of(task)
    return f"task {index}" if out is None else f"'{out}'"


def call(task: Callable[[], T]) -> Outcome[T]:
    """Run a task, and return its outcome; write an error to the run folder that it did not finish."""
    try:
        return Outcome(task())
    except RunError as error:  # the folder itself is the problem, and may belong to another run
        return Outcome(error=error)
    except Exception as error:
        leave_error(task, traceback.format_exc())
        return Outcome(error=error)


def leave_error(task: Callable[[], Any], text: str) -> None:
    """Write error.txt in the run folder of a task, if it has one that is not complete."""
    out = folder_of(task)
    with suppress(OSError):  # a full disk must not hide the error of the task
        if out and (out / "config.json").exists() and not (out / "result.json").exists():
            (out / "error.txt").write_text(text)


def attempt(payload: bytes) -> bytes:
    """Run a pickled task in a worker, and return its pickled outcome; the output of a stage goes to its log.txt."""
    try:
        task: Callable[[], Any] = pickle.loads(payload)
    except Exception as error:  # for example a module that this worker cannot import
        return pack(Outcome(error=error))
    out = folder_of(task)
    if out is None:
        return pack(call(task))
    is_new = not out.exists()
    with _output_to(out / RUNNING_LOG_FILE):
        outcome = call(task)
    printed = _keep_log(out, outcome.error, is_new)
    # an InstarError is a complete sentence; the output may explain any other error
    if printed and not isinstance(outcome.error, InstarError | None):
        outcome.error.add_note(f"Its output was:\n{printed}")
    return pack(outcome)


def pack(outcome: Outcome[Any]) -> bytes:
    """Pickle an outcome so that another process can read it, whatever its value or error is."""
    if outcome.error is not None:
        return pickle.dumps(Outcome[Any](error=_portable(outcome.error)))
    try:
        return pickle.dumps(outcome)
    except Exception as error:
        return pickle.dumps(Outcome[Any](error=_portable(error)))


def _portable(error: Exception) -> Exception:
    # pickling drops the traceback, so it travels as a note
    told = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # for example a constructor with other arguments than the message
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, InstarError):
        error.add_note(f"In the worker:\n{told}")
    return error


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Append stdout and stderr to a file, at the level of file descriptors, which includes output of C libraries."""
    try:
        # appended, because a retry continues the log of the attempt before
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError:  # the stage reports in its own words why it cannot work there
        yield
        return
    _flush()  # text that was printed before belongs to the old file
    former_files = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
        for descriptor in former_files:
            os.dup2(file.fileno(), descriptor)
        yield
    finally:
        _flush()
        for descriptor, former in former_files.items():
            os.dup2(former, descriptor)
            os.close(former)
        file.close()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):  # noqa: TID251 (prints nothing)
        with suppress(OSError, ValueError, AttributeError):  # a full disk, a closed stream, or none
            stream.flush()


def _keep_log(out: Path, error: Exception | None, is_new: bool) -> str:
    """Append the output to log.txt; if no run started in the folder, remove and return it instead."""
    running, printed = out / RUNNING_LOG_FILE, ""
    with suppress(OSError):  # a log that cannot be written is no reason to lose the outcome
        text = running.read_bytes()
        # environment.json alone is an interrupted start; a visible log.txt would prevent another start there
        started = any(path.name[0] != "." and path.name != "environment.json" for path in out.iterdir())
        if text and (started or error is None):
            with (out / "log.txt").open("ab") as file:
                file.write(text)
        else:
            printed = text.decode(errors="replace")
        running.unlink()
        if is_new and error:
            out.rmdir()  # fails, and so keeps the folder, if there is anything in it
    return printed
