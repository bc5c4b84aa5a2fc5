"""A bar on stderr with a live loss and the time that is left; silent where stderr is not a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """One bar for one stage.

    Args:
        title: what is being done.
        total: how many steps there are.
        done: how many of them were done before.
        show: false hides it.
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
        """Move on by some steps, and show another note."""
        if self._progress.disable:  # its bookkeeping takes time in every step all the same
            return
        self._progress.advance(self._task, steps)
        if note is not None:
            self._progress.update(self._task, note=note)
