"""Predicted numbers against true ones, for runs whose labels are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from instar.reporting.columns import few_digits
from instar.reporting.runs import Array, Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

MAX_SHOWN_RUNS, MAX_POINTS = 12, 400
PIXELS, LEFT, BOTTOM, MARGIN = 320, 56, 26, 10
"""Pixels of the side of a chart, and of its margins."""


def show_numbers(runs: Runs) -> Mapping[str, Any] | None:
    """Return charts of the first run of each group, of student and teacher on the same test samples, or None."""
    found = list[dict[str, Any]]()
    for group in runs.groups:
        if len(found) < MAX_SHOWN_RUNS:
            found += _read(group.rows[0], runs)
    return {"charts": found} if found else None


def _read(row: RunRow, runs: Runs) -> list[dict[str, Any]]:
    kept = runs.numbers(row)
    if not kept:
        return []
    models = {"student" if row.teachers else "model": kept["test.logits"][:, 0]}
    if "test.numbers_of_teacher" in kept:
        models = {"teacher": kept["test.numbers_of_teacher"]} | models
    true = kept["test.numbers"].astype(float)
    known = np.flatnonzero(np.isfinite(true) & np.all([np.isfinite(values) for values in models.values()], axis=0))
    if not len(known):
        return []
    # at even distances of the true number, so that the ends are shown
    order = known[np.argsort(true[known], kind="stable")]
    shown = order[np.unique(np.linspace(0, len(order) - 1, MAX_POINTS).round().astype(int))]
    every = np.concatenate([true[shown], *(values[shown] for values in models.values())]).astype(float)
    low, high = float(every.min()), float(every.max())
    high = high if high > low else low + 1
    return [_draw(row.name, who, true[shown], values[shown].astype(float), low, high) for who, values in models.items()]


def _draw(name: str, who: str, true: Array, predicted: Array, low: float, high: float) -> dict[str, Any]:
    size = PIXELS - LEFT - MARGIN
    points = [
        (
            round(LEFT + size * (x - low) / (high - low), 1),
            round(PIXELS - BOTTOM - (PIXELS - BOTTOM - MARGIN) * (y - low) / (high - low), 1),
        )
        for x, y in zip(true.tolist(), predicted.tolist(), strict=True)
    ]
    ends = [few_digits(end) for end in (low, high)]
    kind = "teacher" if who == "teacher" else "student"
    return {
        "name": name,
        "who": who,
        "kind": kind,
        "points": points,
        "ends": ends,
        "size": (PIXELS, LEFT, BOTTOM, MARGIN),
    }


SECTION = Section("numbers", "Predicted numbers", show_numbers)
