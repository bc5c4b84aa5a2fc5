"""Curves: every number that was recorded during training, per run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from instar.reporting.groups import identities
from instar.reporting.runs import Runs
from instar.reporting.section import Section

# Okabe and Ito's colours without yellow: distinct for colour-blind readers and in print
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808080")
LINE_DASHES = ("", "6 3", "2 2", "8 3 2 3")
MAX_POINTS = 300  # per line of a chart that is at most 990 pixels wide
UNPLOTTED_QUANTITIES = {"kind", "step", "epoch", "examples"}
QUANTITY_TITLES = {
    "train loss": "Training loss",
    "validation error": "Validation error (share)",
    "train learning_rate": "Learning rate",
}
FIRST_QUANTITIES = ("train loss", "validation error", "validation nll", "train learning_rate")


def collect_curves(runs: Runs) -> Mapping[str, Any] | None:
    """Return the series of each run and the names of all quantities, or None if nothing was recorded."""
    known = identities(runs.rows)  # of incomplete runs too, which have curves but no group
    drawn = [(row, found) for row in runs.rows if row.history and (found := extract_series(row.history))]
    if not drawn:
        return None
    groups = list(dict.fromkeys(known[row.name] for row, _ in drawn))
    recorded = {name for _, found in drawn for name in found}
    quantities = [name for name in FIRST_QUANTITIES if name in recorded]
    quantities += sorted(recorded - set(FIRST_QUANTITIES))
    lines = []
    for row, found in drawn:
        # seeds of one group share a colour; dashes distinguish groups when the colours run out
        dash, colour = divmod(groups.index(known[row.name]), len(LINE_COLOURS))
        style = {"colour": LINE_COLOURS[colour], "dash": LINE_DASHES[dash % len(LINE_DASHES)]}
        lines.append({"name": row.name, **style, "series": found})
    return {"data": {"runs": lines, "quantities": [{"name": name, "title": _title(name)} for name in quantities]}}


def extract_series(history: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Return at most 300 points [epoch, value] of each quantity, by the kind of line and the name of the quantity.

    >>> history = [{"kind": "train", "step": 9, "epoch": 1, "loss": 2.5}, {"kind": "train", "epoch": 2, "loss": None}]
    >>> extract_series(history)
    {'train loss': [[1.0, 2.5]]}
    """
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for line in history:
        kind, epoch = line.get("kind", ""), line["epoch"]
        for name, value in line.items():
            # `type` and not isinstance, which takes a bool for an int; one test, because histories are long
            if type(value) in (int, float) and name not in UNPLOTTED_QUANTITIES and math.isfinite(value):
                epochs, values = found.setdefault((kind, name), ([], []))
                epochs.append(epoch)
                values.append(value)
    return {
        f"{kind} {name}".strip(): [
            [_rounded(number) for number in point] for point in zip(*map(_thinned, columns), strict=True)
        ]
        for (kind, name), columns in found.items()
    }


def _rounded(number: float) -> float:
    return float(f"{number:.5g}")  # finer than a pixel of the chart


def _thinned(points: list[float]) -> list[float]:
    every = math.ceil(len(points) / MAX_POINTS)
    # the last point always stays, because it is the one that readers look for
    return points if every == 1 else [*points[:-1:every], points[-1]]


def _title(name: str) -> str:
    return QUANTITY_TITLES.get(name, name.replace("_", " ").capitalize())


SECTION = Section("curves", "Curves", collect_curves, ("chart.js", "curves.js"))
