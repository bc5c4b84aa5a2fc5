"""`instar report`: one HTML file about folders of runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from instar.errors import RunError, say
from instar.paths import given_path, local_path
from instar.reporting.html import write_report


def report(runs: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write an HTML file about every run folder under `runs`, and return its path.

    Args:
        runs: one or several folders, each a run folder or a folder that holds some at any depth.
        out: HTML file; None writes `report.html` to `runs`, or to the common parent of several folders.

    Raises:
        RunError: if a folder is missing, none holds a run, or the file cannot be written.

    >>> report("nowhere")
    Traceback (most recent call last):
    instar.errors.RunError: the folder 'nowhere' is missing, so there is nothing to report.
    """
    roots = [given_path(folder, "runs") for folder in ([runs] if isinstance(runs, str | Path) else runs)]
    if not roots:
        raise RunError("no folder was given; give a folder with runs.")
    for root in roots:
        if not os.path.isdir(root):
            raise RunError(f"the folder '{root}' is missing, so there is nothing to report.")
    # resolved, because relative and absolute paths have no common parent
    together = roots[0] if len(roots) == 1 else Path(os.path.commonpath([root.resolve() for root in roots]))
    return write_report(
        roots,
        local_path(out, "out") if out is not None else together / "report.html",
        f"Instar report: {together.resolve().name or together}",  # "." has a name only when resolved, "/" never has
    )


def report_where_possible(folder: Path) -> Path:
    """Write the report of a folder of complete runs; print a sentence if that fails."""
    try:
        return report(folder)
    except RunError as error:  # a read-only folder, for example, must not lose the results
        say(f"instar: {error}")
        return folder / "report.html"
