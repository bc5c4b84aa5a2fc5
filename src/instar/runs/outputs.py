"""What the outputs of the model of a run are."""

from __future__ import annotations

from instar.runs.run import Run


def predicts_numbers(run: Run) -> bool:
    """Return whether the model of a run predicts numbers, and no classes."""
    return bool(run.config["data"].get("labels") == "numbers")
