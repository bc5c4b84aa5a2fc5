"""What accuracy costs: errors of teachers, students and controls against their size and microseconds per row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instar.reporting.columns import few_digits, figure
from instar.reporting.groups import find_teacher
from instar.reporting.runs import Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow
from instar.tasks.metrics import ERROR

BATCH_SIZES = (1, 10_000)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 260, 52, 14, 14, 40
"""Pixels of a chart and of its margins."""
MIN_POINTS, MAX_POINTS = 2, 60
MAX_LETTERS = 22
RMSE = "rmse"


@dataclass(frozen=True)
class _Point:
    name: str
    kind: str
    error: float
    size: float | None
    latency: Mapping[str, Any]

    def microseconds(self, batch: int) -> float | None:
        """Return the microseconds of a row in batches of a size."""
        found = self.latency.get(str(batch))
        return None if found is None else 1000 * float(found["median"]) / batch


def weigh_costs(runs: Runs) -> Mapping[str, Any] | None:
    """Return the charts and their table, or None without two models whose errors can be compared."""
    metric = next((name for name in (ERROR.name, RMSE) if any(name in row.numbers for row in runs.complete)), None)
    if metric is None:
        return None
    points = _collect(runs, metric)[:MAX_POINTS]
    if len(points) < MIN_POINTS:
        return None
    axes = [("Parameters", [point.size for point in points])]
    axes += [(_name_batch(size), [point.microseconds(size) for point in points]) for size in BATCH_SIZES]
    is_error = metric == ERROR.name
    charts = [_draw(title, values, points, is_error) for title, values in axes]
    lines = [
        [
            point.name,
            point.kind,
            figure(100 * point.error, 2) if is_error else f"{point.error:,.5g}",
            figure(point.size, 0),
            *(figure(point.microseconds(size), 2) for size in BATCH_SIZES),
        ]
        for point in points
    ]
    title = "Test error (%)" if is_error else "Test RMSE"
    heads = ("Model", "Role", title, "Parameters", *map(_name_batch, BATCH_SIZES))
    return {"charts": [chart for chart in charts if chart], "heads": heads, "lines": lines, "error": title}


def _name_batch(size: int) -> str:
    return f"Microseconds per row, batch {size:,}"


def _collect(runs: Runs, metric: str) -> list[_Point]:
    """Return all models with a test error, and the teachers that are no runs of this report."""
    teaching = {
        found.name for row in runs.complete for path in row.teachers if (found := find_teacher(path, runs.rows))
    }
    points, known = list[_Point](), set[str]()
    for group in runs.groups:
        if group.is_earlier_phase:
            continue
        for row in group.rows:
            if metric in row.numbers:
                kind = "teacher" if row.name in teaching else "student" if row.teachers else "control"
                latency = runs.cost(row).get("latency", {})
                points.append(_Point(row.name, kind, row.numbers[metric], row.numbers.get("parameters"), latency))
            other = _read_teacher(row, runs, metric)
            if other is not None and str(row.fingerprints.get("teacher")) not in known:
                known.add(str(row.fingerprints.get("teacher")))
                points.append(other)
    return points


def _read_teacher(row: RunRow, runs: Runs, metric: str) -> _Point | None:
    """Return the teacher of a run where it is no run here, and its time was measured beside its student."""
    latency, name = runs.cost(row).get("teacher") or {}, f"teacher_{metric}"
    if not latency or name not in row.numbers or any(find_teacher(path, runs.rows) for path in row.teachers):
        return None
    return _Point(f"teacher of {row.name}", "teacher", row.numbers[name], None, latency)


def _draw(
    title: str, values: Sequence[float | None], points: Sequence[_Point], is_error: bool
) -> dict[str, Any] | None:
    """Return a chart with a logarithmic axis of cost; None where fewer than two models have one."""
    known = [(value, point) for value, point in zip(values, points, strict=True) if value]
    if len(known) < MIN_POINTS:
        return None
    scale = 100 if is_error else 1
    low, high = (end(math.log10(value) for value, _ in known) for end in (min, max))
    low, high = low - 0.1, high + 0.1
    least, most = (end(scale * point.error for _, point in known) for end in (min, max))
    margin = 0.1 * (most - least) or 0.1 * abs(most) or 1.0
    least, most = max(0.0, least - margin), most + margin
    marks = []
    for value, point in known:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(value) - low) / (high - low)
        y = TOP + (HEIGHT - TOP - BOTTOM) * (most - scale * point.error) / (most - least)
        told = f"{point.name}: {scale * point.error:.4g}{'%' if is_error else ''}, {value:,.4g}"
        marks.append({
            "x": round(x, 1), "y": round(y, 1), "kind": point.kind, "told": told, "name": _cut(point.name),
            "is_left": x > (LEFT + WIDTH) / 2,
        })  # fmt: skip
    powers = range(math.ceil(low), math.floor(high) + 1)
    ticks = [(round(LEFT + (WIDTH - LEFT - RIGHT) * (p - low) / (high - low), 1), f"{10.0**p:,g}") for p in powers]
    ends = [(HEIGHT - BOTTOM, few_digits(least)), (TOP, few_digits(most))]
    size = (WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM)
    return {"title": title, "marks": marks, "ticks": ticks, "ends": ends, "size": size}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"…{text[1 - MAX_LETTERS :]}"


SECTION = Section("tradeoff", "Accuracy and cost", weigh_costs, ("sort.js",))
