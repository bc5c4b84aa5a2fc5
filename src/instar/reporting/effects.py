"""Columns of a table: how much student and teacher need each, and what their predictions make of the most needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from instar.reporting.columns import EN_DASH, few_digits
from instar.reporting.runs import Array, Runs
from instar.reporting.section import Section
from instar.runs.rows import RunRow

MAX_SHOWN_RUNS, MAX_LISTED_COLUMNS = 8, 30
WHO = ("teacher", "student")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 280, 190, 46, 12, 12, 52
"""Pixels of a chart and of its margins."""
MAX_LETTERS, WORD_MARGIN = 12, 40


def show_effects(runs: Runs) -> Mapping[str, Any] | None:
    """Return importances and dependences of the first run of each group that recorded some, or None."""
    # one run stands for all seeds, and those with a teacher come first
    rows = sorted((group.rows[0] for group in runs.groups), key=lambda row: not row.teachers)
    found = list[dict[str, Any]]()
    for row in rows:
        if len(found) < MAX_SHOWN_RUNS and (shown := _read(row, runs)):
            found.append(shown)
    return {"runs": found} if found else None


def _read(row: RunRow, runs: Runs) -> dict[str, Any] | None:
    tensors, header = runs.effects(row)
    if not tensors:
        return None
    who = [one for one in WHO if f"importance.{one}" in tensors]
    return {
        "name": row.name,
        "who": who,
        "metric": header["metric"],
        "unit": "percentage points" if header["metric"] == "error" else "the unit of the labels",
        "rows": header["rows"],
        "seconds": header["seconds"],
        **_list_importances({one: tensors[f"importance.{one}"] for one in who}, header),
        "charts": [_draw(tensors, header, place, who) for place in range(len(header["shown"]))],
    }


def _list_importances(found: Mapping[str, Array], header: Mapping[str, Any]) -> dict[str, Any]:
    scale = 100 if header["metric"] == "error" else 1
    means, spreads, known = {}, {}, np.zeros(len(header["columns"]), bool)
    for who, values in found.items():
        is_known = ~np.isnan(values)
        count = is_known.sum(1)
        means[who] = scale * np.where(is_known, values, 0).sum(1) / count.clip(min=1)
        squares = np.where(is_known, (scale * values - means[who][:, None]) ** 2, 0).sum(1)
        spreads[who] = np.sqrt(squares / (count - 1).clip(min=1))
        known |= count > 0
    largest = np.max(list(means.values()), axis=0)
    order = [place for place in np.argsort(-largest, kind="stable").tolist() if known[place]][:MAX_LISTED_COLUMNS]
    most = max([float(largest[place]) for place in order], default=0.0) or 1.0
    lines = [
        {
            "column": header["columns"][place]["name"],
            "bars": [
                {
                    "who": who,
                    "share": max(0.0, round(100 * float(means[who][place]) / most, 1)),
                    "figure": few_digits(means[who][place]) + _tell_spread(values[place], float(spreads[who][place])),
                }
                for who, values in found.items()
            ],
        }
        for place in order
    ]
    return {"lines": lines, "left_out": int((~known).sum()) + max(0, int(known.sum()) - len(order))}


def _tell_spread(values: Array, spread: float) -> str:
    return f" ± {few_digits(spread)}" if (~np.isnan(values)).sum() > 1 else ""  # one shuffle has none


def _draw(tensors: Mapping[str, Array], header: Mapping[str, Any], place: int, who: Sequence[str]) -> dict[str, Any]:
    """Return a chart of the mean output of each model by the values of one column."""
    column, grid = header["columns"][header["shown"][place]], tensors[f"grid.{place}"]
    outputs = {one: tensors[f"dependence.{place}.{one}"].astype(float) for one in who}
    # of two classes the second, and of several that which changes most
    ranges = np.max([np.ptp(values, axis=0) for values in outputs.values()], axis=0)
    output = 1 if len(ranges) == 2 else int(ranges.argmax())
    values = {one: found[:, output] for one, found in outputs.items()}
    low, high = (float(end([end(one) for one in values.values()])) for end in (np.min, np.max))
    if header["metric"] == "error":  # so that a flat line looks flat
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
    high = high if high > low else low + 1
    is_word = column["kind"] == "word"
    along = np.arange(len(grid), dtype=float) if is_word else grid
    left = LEFT + (WORD_MARGIN if is_word else 0)  # words are written to the left of their place
    x = left + (WIDTH - left - RIGHT) * (along - along[0]) / ((along[-1] - along[0]) or 1.0)
    names = [_name_value(value, column) for value in grid.tolist()]
    lines = []
    for one, found in values.items():
        y = TOP + (HEIGHT - TOP - BOTTOM) * (high - found) / (high - low)
        points = [
            {"x": round(float(a), 1), "y": round(float(b), 1), "told": f"{one}: {name}: {_tell(value, header)}"}
            for a, b, name, value in zip(x, y, names, found.tolist(), strict=True)
        ]
        lines.append({"who": one, "points": points})
    ticks = [(round(float(at), 1), name) for at, name in zip(x, names, strict=True)]
    return {
        "column": column["name"],
        "output": header["classes"][output],
        "lines": lines,
        "ticks": [(at, _cut(name)) for at, name in (ticks if is_word else [ticks[0], ticks[-1]])],
        "are_words": is_word,
        "ends": [(HEIGHT - BOTTOM, _tell(low, header)), (TOP, _tell(high, header))],
        "size": (WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM),
    }


def _name_value(value: float, column: Mapping[str, Any]) -> str:
    if column["kind"] == "word":
        return str(column["categories"][int(value)]) if value >= 0 else EN_DASH
    if column["kind"] == "boolean":
        return "true" if value else "false"
    if column["kind"] == "date":
        return str(np.datetime64(int(value), "s")).split("T")[0]
    return few_digits(value)


def _tell(value: float, header: Mapping[str, Any]) -> str:
    return f"{100 * value:.1f}%" if header["metric"] == "error" else few_digits(value)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}…"


SECTION = Section("effects", "Columns", show_effects)
