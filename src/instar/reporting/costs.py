"""Cost: size and speed of the models, training time, and the time that stored targets saved."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from instar.reporting.columns import EN_DASH, figure
from instar.reporting.groups import setting_differences
from instar.reporting.runs import Runs
from instar.reporting.section import Section
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


def tabulate_costs(runs: Runs) -> Mapping[str, Any] | None:
    """Return the table of costs, or None if no run is complete."""
    if not runs.complete:
        return None
    return {"heads": COST_HEADINGS, "rows": [_row(row, runs) for row in runs.complete], "saved": saved_by_stores(runs)}


def saved_by_stores(runs: Runs) -> list[list[str]]:
    """Return the training seconds of runs with stored targets beside the mean of the same runs with a live teacher.

    Runs count as the same if they share machine, teacher, objective and settings; the seeds may differ.
    """
    rows = []
    for row in runs.complete:
        if not row.teachers or row.config.get("targets", "online") == "online" or "seconds" not in row.numbers:
            continue
        live = [other.numbers["seconds"] for other in runs.complete if _is_live_twin(row, other)]
        if live:
            before, after = statistics.fmean(live), row.numbers["seconds"]
            rows.append([row.name, *(figure(value, 1) for value in (before, after, before - after))])
    return rows


def _is_live_twin(row: RunRow, other: RunRow) -> bool:
    alike = [
        (one.objective, one.config.get("combine"), one.fingerprints.get("teacher"), one.environment.get("machine"))
        for one in (row, other)
    ]
    # where targets are stored does not change what is learned from them
    own = [name for name in setting_differences(row, other) if not name.startswith("store.")]
    is_live = bool(other.teachers) and other.config.get("targets", "online") == "online"
    return is_live and alike[0] == alike[1] and not own and "seconds" in other.numbers


def _row(row: RunRow, runs: Runs) -> list[str]:
    cost = runs.cost(row)
    weights = row.folder / "weights.safetensors"
    size = weights.stat().st_size / 1e6 if weights.is_file() else None
    return [
        row.name,
        figure(row.numbers.get("parameters"), 0),
        figure(_number(cost.get("multiply_adds")), 0),
        figure(size, 3),
        _latency(cost, "1"),
        _latency(cost, "64"),
        str(cost.get("threads", EN_DASH)),
        str(cost.get("device", EN_DASH)),
        figure(row.numbers.get("seconds"), 1),
        figure(None if (peak := _number(cost.get("peak_bytes"))) is None else peak / 1e6, 0),
    ]


def _latency(cost: Mapping[str, Any], size: str) -> str:
    r"""Return the median with its quartiles.

    >>> _latency({"latency": {"1": {"median": 1.5, "low": 1.25, "high": 2.0}}}, "1") == "1.50 (1.25\u20132.00)"
    True
    """
    latency = cost.get("latency")
    found = latency.get(size) if isinstance(latency, dict) else None
    values = [_number(found.get(name)) for name in ("median", "low", "high")] if isinstance(found, dict) else [None]
    if None in values:
        return EN_DASH
    middle, low, high = (figure(value, 2) for value in values)
    return f"{middle} ({low}\u2013{high})"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


SECTION = Section("costs", "Cost", tabulate_costs, ("sort.js",))
