"""Cost: size and speed of the models, training time, and the time that stored targets saved."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from instar.reporting.columns import EN_DASH, figure
from instar.reporting.groups import setting_differences
from instar.reporting.runs import Runs
from instar.reporting.section import Section
from instar.runs.phases import earlier_phases
from instar.runs.rows import RunRow

COST_HEADINGS = (
    "Run",
    "Parameters",
    "Multiply-adds",
    "Weights (MB)",
    "Latency, batch 1 (ms)",
    "Latency, batch 64 (ms)",
    "Threads",
    "Device",
    "Training (s)",
    "Peak memory (MB)",
)
PHASES_HEADING = "All phases (s)"
"""Heading of the training seconds of a run with its earlier phases, where a run has some."""


def tabulate_costs(runs: Runs) -> Mapping[str, Any] | None:
    """Return the table of costs, or None if no run is complete."""
    if not runs.complete:
        return None
    heads: tuple[str, ...] = COST_HEADINGS
    rows = [_row(row, runs) for row in runs.complete]
    totals = [seconds_of_phases(row, runs.rows) for row in runs.complete]
    if any(total is not None for total in totals):
        heads = (*heads, PHASES_HEADING)
        rows = [[*cells, figure(total, 1)] for cells, total in zip(rows, totals, strict=True)]
    return {"heads": heads, "rows": rows, "saved": saved_by_stores(runs)}


def seconds_of_phases(row: RunRow, rows: Sequence[RunRow]) -> float | None:
    """Return the training seconds of a run with all of its earlier phases; None if it has none, or one is unknown."""
    folders = earlier_phases(row.folder, row.config.get("start"))
    parts = [row, *(other for other in rows if other.folder in folders)]
    seconds = [part.numbers.get("seconds") for part in parts]
    if not folders or len(parts) <= len(folders) or None in seconds:
        return None
    return sum(value for value in seconds if value is not None)


def saved_by_stores(runs: Runs) -> list[list[str]]:
    """Return training seconds of runs with stored targets, and the mean of the same runs with a live teacher.

    Runs are the same if machine, teacher, objective and settings are equal; their seeds may differ.
    """
    rows = []
    for row in runs.complete:
        # runs of older versions have no such setting, and queried their teachers live
        if not row.teachers or row.config.get("targets", "online") == "online" or "seconds" not in row.numbers:
            continue
        live = [other.numbers["seconds"] for other in runs.complete if _is_live_twin(row, other)]
        if live:
            before, after = statistics.fmean(live), row.numbers["seconds"]
            rows.append([row.name, *(figure(value, 1) for value in (before, after, before - after))])
    return rows


def _is_live_twin(row: RunRow, other: RunRow) -> bool:
    if not other.teachers or other.config.get("targets", "online") != "online" or "seconds" not in other.numbers:
        return False
    mine, theirs = (
        (one.objective, one.config.get("combine"), one.fingerprints.get("teacher"), one.environment.get("machine"))
        for one in (row, other)
    )
    # a store changes where targets come from, and not what the student learns
    return mine == theirs and all(name.startswith("store.") for name in setting_differences(row, other))


def _row(row: RunRow, runs: Runs) -> list[str]:
    cost = runs.cost(row)
    peak = cost.get("peak_bytes")
    weights = row.folder / "weights.safetensors"
    size = weights.stat().st_size / 1e6 if weights.is_file() else None
    return [
        row.name,
        figure(row.numbers.get("parameters"), 0),
        figure(cost.get("multiply_adds"), 0),
        figure(size, 3),
        _latency(cost, "1"),
        _latency(cost, "64"),
        str(cost.get("threads") or EN_DASH),
        cost.get("device") or EN_DASH,
        figure(row.numbers.get("seconds"), 1),
        figure(None if peak is None else peak / 1e6, 0),
    ]


def _latency(cost: Mapping[str, Any], size: str) -> str:
    r"""Return the median with its quartiles.

    >>> _latency({"latency": {"1": {"median": 1.5, "low": 1.25, "high": 2.0}}}, "1") == "1.50 (1.25\u20132.00)"
    True
    """
    found = cost.get("latency", {}).get(size)  # a size that the test set or memory had no room for is missing
    if found is None:
        return EN_DASH
    middle, low, high = (figure(found[name], 2) for name in ("median", "low", "high"))
    return f"{middle} ({low}\u2013{high})"


SECTION = Section("costs", "Cost", tabulate_costs, ("sort.js",))
