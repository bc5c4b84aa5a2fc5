"""`instar report`: what a folder of runs amounts to, as one HTML file."""

from __future__ import annotations

from pathlib import Path

from instar.errors import RunError
from instar.report import write_report


def report(runs: str | Path, out: str | Path | None = None) -> Path:
    """Write an HTML file about every run folder under `runs`, and return its path.

    Args:
        runs: a folder that holds run folders at any depth, or one run folder.
        out: the file; None makes it `report.html` in `runs`.

    Raises:
        RunError: when the folder is missing or holds no runs, or the file cannot be written.

    >>> report("nowhere")
    Traceback (most recent call last):
    instar.errors.RunError: the folder 'nowhere' is missing, so there is nothing to report.
    """
    root = Path(runs)
    if not root.is_dir():
        raise RunError(f"the folder '{root}' is missing, so there is nothing to report.")
    return write_report([root], Path(out) if out else root / "report.html", f"Instar report: {root.resolve().name}")
