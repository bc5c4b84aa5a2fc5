"""A metric: one number that says how good a model is, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from instar.analysis.scores import Scores
from instar.tasks.intervals import Bounds, Interval

Unit = Literal["share", "nats", "count", "number", "coefficient", ""]

MAX_ROUNDED_NUMBER = 1e5
"""Size from which numbers are shown without decimals; below it, with five digits."""


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95% interval, where both are measured together.

    Args:
        value: value of the metric.
        interval: its lower and upper end; None: there is none.
    """

    value: float
    interval: Bounds | None = None


Measure = Callable[[Scores, Mapping[str, Tensor]], float | Estimate | None]
"""Takes the scores of the labelled examples and what the task observed of all batches; None: it does not apply."""


@dataclass(frozen=True)
class Metric:
    """One number that says how good a model is.

    Args:
        name: its key in `evaluate`, in `result.json` and in the model card.
        unit: "share" (of 1, shown in percent), "nats", "count", "number" (in the unit of labels that are numbers),
            "coefficient" (at most 1) or "" (none).
        better: which values are better.
        interval: its 95% interval; None: it has none.
        measure: computes it; None: `analysis` computes it together with others.
        label: name of its line on the command line; empty: no line.
        line: the text of that line, a format string over all metrics; empty: the value with its unit and interval.
        title: heading of its column in the report, without the unit; empty: no column.
        meaning: sentence for the legend of the report.
        how: computation in a few words, for `inspect` and the model card.
        has_spread: whether it differs between seeds, so that the report shows its standard deviation.

    >>> top_five = Metric("top_5_error", "share", label="top 5", title="Top-5 error")
    >>> top_five.terminal_line({"top_5_error": 0.125}), top_five.heading
    ('12.50%', 'Top-5 error (%)')
    """

    name: str
    unit: Unit = ""
    better: Literal["lower", "higher"] = "lower"
    interval: Interval | None = None
    measure: Measure | None = None
    label: str = ""
    line: str = ""
    title: str = ""
    meaning: str = ""
    how: str = ""
    has_spread: bool = True

    def terminal_line(self, metrics: Mapping[str, Any]) -> str | None:
        """Return the text of its line on the command line; None if there is nothing to show."""
        if not self.label or self.name not in metrics:
            return None
        value = metrics[self.name]  # None if infinite: JSON has no infinity, so run folders store null
        if self.line:  # formats numbers, so it has no text for an infinite one, such as exp of an infinite NLL
            return None if value is None else self.line.format_map(metrics)
        if value is None:
            return "infinite"
        ends = [format_value(end, self.unit) for end in metrics.get(f"{self.name}_interval") or ()]
        return format_value(value, self.unit) + (f" (95%: {' to '.join(ends)})" if ends else "")

    def measured(self, scores: Scores, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the value by name, with its interval if it is measured too; nothing where it does not apply."""
        found = None if self.measure is None else self.measure(scores, observed)
        if isinstance(found, Estimate):
            of_interval = {} if found.interval is None else {f"{self.name}_interval": found.interval}
            return {self.name: found.value} | of_interval
        return {} if found is None else {self.name: found}

    @property
    def heading(self) -> str:
        """The heading of its column in the report, with the unit."""
        return self.title + self.unit_suffix

    @property
    def unit_suffix(self) -> str:
        """The unit as headings show it."""
        return {"share": " (%)", "nats": " (nats)"}.get(self.unit, "")


def format_value(value: float, unit: str) -> str:
    """Return a value of a metric with its unit.

    >>> format_value(0.125, "share"), format_value(0.5, "nats"), format_value(4, "")
    ('12.50%', '0.5000 nats', '4.0000')
    >>> format_value(1234567.8, "number"), format_value(0.012345, "number")
    ('1,234,568', '0.012345')
    """
    if unit == "number":  # of any size: a price in millions, or a length in millimetres
        return f"{value:,.5g}" if abs(value) < MAX_ROUNDED_NUMBER else f"{value:,.0f}"
    if unit == "coefficient":
        return f"{value:.4f}"
    return f"{value:.2%}" if unit == "share" else f"{value:.4f} {unit}".strip()
