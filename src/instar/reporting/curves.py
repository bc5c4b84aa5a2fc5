"""Curves: every number that was recorded while training, per run, in plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from instar.reporting.groups import identities
from instar.reporting.runs import Runs
from instar.reporting.section import Section

# Okabe and Ito's colours without yellow: they stay apart for colour-blind readers and in print
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080")
DASHES = ("", "6 3", "2 2", "8 3 2 3")
MOST_POINTS = 300
NO_CURVES = {"kind", "step", "epoch", "examples"}
TITLES = {
    "train loss": "Training loss",
    "validation error": "Validation error (share)",
    "train learning_rate": "Learning rate",
}
FIRST = ("train loss", "validation error", "validation nll", "train learning_rate")


def find(runs: Runs) -> Mapping[str, Any] | None:
    """Return the runs with their series and the names of all quantities, or none when nothing was recorded."""
    known = identities(runs.rows)
    drawn = [(row, found) for row in runs.rows if row.history and (found := series(row.history))]
    if not drawn:
        return None
    groups = list(dict.fromkeys(known[row.name] for row, _ in drawn))
    quantities = sorted({name for _, found in drawn for name in found}, key=lambda name: (name not in FIRST, name))
    quantities.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    lines = []
    for row, found in drawn:
        number = groups.index(known[row.name])
        style = {"colour": COLOURS[number % len(COLOURS)], "dash": DASHES[number // len(COLOURS) % len(DASHES)]}
        lines.append({"name": row.name, **style, "series": found})
    return {"data": {"runs": lines, "quantities": [{"name": name, "title": _title(name)} for name in quantities]}}


def series(history: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Return [epoch, value] of each quantity, named by the kind of line and itself; at most 300 points of each.

    >>> series([{"kind": "train", "step": 9, "epoch": 1.0, "loss": 2.5}, {"kind": "train", "epoch": 2, "loss": None}])
    {'train loss': [[1.0, 2.5]]}
    """
    found: dict[str, list[list[float]]] = {}
    for line in history:
        for name, value in line.items():
            if name in NO_CURVES or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                points = found.setdefault(f"{line.get('kind', '')} {name}".strip(), [])
                points.append([float(f"{line['epoch']:.5g}"), float(f"{value:.5g}")])
    return {name: _thinned(points) for name, points in found.items()}


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """Return every n-th point, and the last."""
    every = -(-len(points) // MOST_POINTS)
    return points if every == 1 else [*points[:-1:every], points[-1]]


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


SECTION = Section("curves", "Curves", find, ("chart.js", "curves.js"))
