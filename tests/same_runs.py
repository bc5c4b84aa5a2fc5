"""Comparison of two runs that must end with the same bits."""

import torch

from instar.runs.run import Run


def same_weights(first: Run, second: Run) -> bool:
    """Return whether both have the same weights, bit for bit."""
    left, right = first.model.state_dict(), second.model.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def without_seconds(run: Run) -> tuple[list[dict], dict]:
    """Return the lines of metrics and the result, without the time that they took."""
    lines = [{key: value for key, value in line.items() if key != "seconds"} for line in run.history()]
    return lines, {key: value for key, value in run.result.items() if key != "seconds"}


def assert_same(first: Run, second: Run) -> None:
    """Compare weights, lines of metrics and results."""
    assert same_weights(first, second)
    assert without_seconds(first) == without_seconds(second)
