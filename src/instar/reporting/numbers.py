"""Predicted numbers against true ones, for runs whose labels are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from instar.analysis.linearised import constant, difference_interval
from instar.analysis.numbers import KEPT, compare_with_teacher
from instar.reporting.columns import few_digits, figure
from instar.reporting.runs import Array, Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

MAX_SHOWN_RUNS, MAX_POINTS = 12, 400
PIXELS, LEFT, BOTTOM, MARGIN = 320, 56, 26, 10
"""Pixels of the side of a chart, and of its margins."""


def show_numbers(runs: Runs) -> Mapping[str, Any] | None:
    """Return charts of the first run of each group, of student and teacher on the same test samples, or None."""
    found, told = list[dict[str, Any]](), list[str]()
    for group in runs.groups:
        if len(found) < MAX_SHOWN_RUNS:
            found += _read(group.rows[0], runs)
            told += _tell(group.rows[0], runs)
    return {"charts": found, "told": told} if found else None


def _tell(row: RunRow, runs: Runs) -> list[str]:
    """Return what a student keeps of its teacher, in a sentence; nothing for a run without predictions of a teacher."""
    kept = runs.numbers(row)
    if "test.numbers_of_teacher" not in kept:
        return []
    own, teacher, numbers = kept["test.logits"][:, 0], kept["test.numbers_of_teacher"], kept["test.numbers"]
    if not (np.isfinite(own).all() and np.isfinite(teacher).all() and np.isfinite(numbers).any()):
        return []
    found = compare_with_teacher(*(torch.from_numpy(np.array(one)) for one in (own, teacher, numbers)))
    distance, error = (one.value for one in (found["rmse_to_teacher"][1], found["rmse"][0]))
    told = f"The predictions of {row.name} are {few_digits(distance)} from those of its teacher (RMSE)"
    told += f", whose own RMSE is {few_digits(error)}"
    if KEPT not in found:
        return [f"{told}."]
    share, low, high = difference_interval(constant(0.0, len(found[KEPT][1].influences)), found[KEPT][1])
    interval = f"95% interval over the test samples {figure(100 * low, 1)} to {figure(100 * high, 1)}%"
    return [f"{told}. It keeps {figure(100 * share, 1)}% of the teacher's R² ({interval})."]


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
