"""Training loss and validation error over epochs, as a plotly figure in plain values."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from instar.report.collect import Row
from instar.report.groups import identities

# Okabe and Ito's colours without yellow: they stay apart for colour-blind readers and in print
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
DASHES = ("solid", "dash", "dot", "dashdot")
LONGEST_NAME = 36
FEW_POINTS = 30


def curves(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return the figure's data and layout, or None when no run has recorded anything.

    Runs that differ only in their seed share a colour; a click in the legend hides both curves of a run.

    Args:
        rows: the runs.
    """
    known = identities(rows)
    drawn = [row for row in rows if row.history]
    order = list(dict.fromkeys(known[row.name] for row in drawn))
    traces: list[dict[str, Any]] = []
    for row in drawn:
        number = order.index(known[row.name])
        line = {"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number // len(COLOURS) % len(DASHES)]}
        loss = _trace(row, line, "train", "loss", 1.0, "y")
        error = _trace(row, line, "validation", "error", 100.0, "y2")
        found = [trace for trace in (loss, error) if trace["x"]]
        for trace in found:
            trace["showlegend"] = trace is found[0]
        traces += found
    if not traces:
        return None
    return {"data": traces, "layout": _layout([y for trace in traces if trace["yaxis"] == "y" for y in trace["y"]])}


def shorten(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name of at most `longest` characters, whose end is kept because it tells runs apart.

    >>> shorten("paper/table/student", 10)
    '…e/student'
    """
    return name if len(name) <= longest else "…" + name[-longest + 1 :]


def _trace(row: Row, line: Mapping[str, Any], kind: str, quantity: str, scale: float, axis: str) -> dict[str, Any]:
    points = [
        (record["epoch"], record[quantity] * scale)
        for record in row.history
        if record.get("kind") == kind
        and isinstance(record.get(quantity), int | float)
        and math.isfinite(record[quantity])
    ]
    unit, what = ("%", "validation error") if kind == "validation" else ("", "training loss")
    # plotly reads names as markup of its own, and names of folders are no markup
    full = html.escape(row.name, quote=False)
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) <= FEW_POINTS else "lines",
        "x": [epoch for epoch, _ in points],
        "y": [float(f"{value:.6g}") for _, value in points],
        "name": html.escape(shorten(row.name), quote=False),
        "meta": full,
        "legendgroup": row.name,
        "yaxis": axis,
        "xaxis": "x" if axis == "y" else "x2",
        "line": {"width": 1.6, **line},
        "marker": {"size": 4},
        "hovertemplate": f"%{{meta}}<br>epoch %{{x:.4~g}}: {what} %{{y:.4~g}}{unit}<extra></extra>",
    }


def _layout(losses: Sequence[float]) -> dict[str, Any]:
    axis = {"gridcolor": "#e4e4e4", "linecolor": "#999", "showline": True, "ticks": "outside", "tickcolor": "#999"}
    loss = {"title": {"text": "training loss"}, "domain": [0.54, 1], "zeroline": False}
    if losses and min(losses) > 0:
        loss |= {"type": "log", "tickvals": _ticks(losses), "title": {"text": "training loss (log scale)"}}
    return {
        "height": 640,
        "margin": {"l": 76, "r": 12, "t": 12, "b": 52},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222"},
        "hovermode": "closest",
        "legend": {"font": {"size": 12}, "tracegroupgap": 0},
        "xaxis": axis | {"anchor": "y", "matches": "x2", "showticklabels": False, "rangemode": "tozero"},
        "xaxis2": axis | {"anchor": "y2", "title": {"text": "epoch"}, "rangemode": "tozero"},
        "yaxis": axis | loss,
        "yaxis2": axis
        | {"anchor": "x2", "domain": [0, 0.46], "title": {"text": "validation error (%)"}, "rangemode": "tozero"},
    }


def _ticks(values: Sequence[float]) -> list[float]:
    """Return round numbers over the range of `values`, for a logarithmic axis.

    >>> _ticks([0.3, 4])
    [0.2, 0.5, 1.0, 2.0, 5.0]
    """
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    ticks = [float(f"{step}e{power}") for power in range(low, high + 1) for step in steps]
    return [tick for tick in ticks if min(values) / 2 <= tick <= max(values) * 2]
