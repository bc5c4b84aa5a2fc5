"""One task, wherever it runs: its outcome, and what it leaves in its run folder."""

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

RETRIES = 3
"""How often a task is begun again after its worker was lost."""

RUNNING = ".log.txt"
"""What a running task prints; hidden, because a run is not started in a folder that holds a visible file."""


class JobsError(InstarError):
    """Tasks that failed together, or one whose worker was lost too often; names each of them."""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How a task ended.

    Args:
        value: what it returned.
        error: what it raised; none where it returned.
    """

    value: T | None = None
    error: Exception | None = None

    def get(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where the task returned it


def folder_of(task: Callable[[], Any]) -> Path | None:
    """Return the folder of the stage whose method a task is; none for other tasks."""
    out = getattr(getattr(task, "__self__", None), "out", None)
    return out if isinstance(out, Path) else None


def name_of(task: Callable[[], Any], index: int) -> str:
    """Return what a person calls a task: its folder, or its place in the list.

    >>> name_of(print, 1)
    'task 1'
    """
    out = folder_of(task)
    return f"task {index}" if out is None else f"'{out}'"


def call(task: Callable[[], T]) -> Outcome[T]:
    """Do a task; what it raises is its outcome, and is left in the folder of a run that it did not finish."""
    try:
        return Outcome(task())
    except RunError as error:  # it is about the folder itself, which may be another's
        return Outcome(error=error)
    except Exception as error:
        leave_error(task, traceback.format_exc())
        return Outcome(error=error)


def leave_error(task: Callable[[], Any], text: str) -> None:
    """Write error.txt in the run folder of a task, where there is one and it is not complete."""
    out = folder_of(task)
    with suppress(OSError):  # a full disk, say, must not hide the error that this one is about
        if out and (out / "config.json").exists() and not (out / "result.json").exists():
            (out / "error.txt").write_text(text)


def attempt(payload: bytes) -> bytes:
    """Do a pickled task in a worker, and return its pickled outcome; what a stage prints goes to its log.txt."""
    out = None
    try:
        task: Callable[[], Any] = pickle.loads(payload)
        out = folder_of(task)
    except Exception as error:
        outcome = Outcome[Any](error=error)
    else:
        if out is None:
            outcome = call(task)
        else:
            made = not out.exists()
            with _printing_to(out / RUNNING):
                outcome = call(task)
            printed = _keep_log(out, outcome.error, made)
            if printed and not isinstance(outcome.error, InstarError | None):
                outcome.error.add_note(f"It had printed:\n{printed}")
    return pack(outcome)


def pack(outcome: Outcome[Any]) -> bytes:
    """Return an outcome as bytes that can be read in another process, whatever its value or its error is."""
    if outcome.error is not None:
        return pickle.dumps(Outcome[Any](error=_portable(outcome.error)))
    try:
        return pickle.dumps(outcome)
    except Exception as error:
        return pickle.dumps(Outcome[Any](error=_portable(error)))


def _portable(error: Exception) -> Exception:
    """Return an error that survives pickling; with the traceback as a note, where it is no sentence for people."""
    told = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # such as one whose constructor takes other arguments than its message
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, InstarError):
        error.add_note(f"In the worker:\n{told}")
    return error


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Append what is printed on stdout and stderr to a file; below Python, so that libraries are caught too."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError:  # the stage will say in its own words why it cannot work there
        yield
        return
    _flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
        for descriptor in kept:
            os.dup2(file.fileno(), descriptor)
        yield
    finally:
        _flush()
        for descriptor, former in kept.items():
            os.dup2(former, descriptor)
            os.close(former)
        file.close()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):  # noqa: TID251 (prints nothing)
        with suppress(OSError, ValueError, AttributeError):  # closed, the disk is full, or there is none
            stream.flush()


def _keep_log(out: Path, error: Exception | None, made: bool) -> str:
    """Move what was printed to log.txt, or take it back and return it where no run was started in the folder."""
    running, printed = out / RUNNING, ""
    with suppress(OSError):
        text = running.read_bytes()
        # environment.json alone is a start that was cut off, which a visible log.txt would keep from being repeated
        started = any(path.name[0] != "." and path.name != "environment.json" for path in out.iterdir())
        if text and (started or error is None):
            with (out / "log.txt").open("ab") as file:
                file.write(text)
        else:
            printed = text.decode(errors="replace")
        running.unlink()
        if made and error:
            out.rmdir()  # stays where there is anything in it
    return printed
