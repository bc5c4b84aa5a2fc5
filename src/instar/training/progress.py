"""A bar on stderr with the last loss and the remaining time; silent if stderr is not a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """One bar for one stage.

    Args:
        title: text before the bar.
        total: number of steps.
        done: number of steps that an earlier process has taken.
        show: whether to show the bar on a terminal.
    """

    def __init__(self, title: str, total: int, done: int = 0, *, show: bool = True) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            # stderr is None in a program without a console
            disable=not (show and sys.stderr and sys.stderr.isatty()),  # noqa: TID251 (asks, and prints nothing)
            transient=True,
        )
        self._task = self._progress.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Advance by some steps, and replace the note."""
        if self._progress.disable:  # otherwise the hidden bar takes time in each step
            return
        self._progress.advance(self._task, steps)
        if note is not None:
            self._progress.update(self._task, note=note)
