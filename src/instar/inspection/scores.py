"""The scores of a run folder with their 95% intervals, for `instar inspect` and model cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from instar.errors import RunError
from instar.runs.documents import ResultFile, read_document
from instar.runs.predictions import read_predictions
from instar.runs.run import Run
from instar.tasks.catalogue import known_metrics
from instar.tasks.metric import Metric, format_value


@dataclass(frozen=True)
class Score:
    """One score.

    Args:
        split: "test" or "validation".
        name: name of the score.
        value: value of the score.
        low: lower end of the 95% interval; None if there is none.
        high: upper end of the 95% interval.
        unit: "share" (of 1), "nats" or "".
        how: method of value and interval, and the number of examples.
    """

    split: str
    name: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = "share"
    how: str = ""

    def text(self) -> tuple[str, str]:
        """Return the value and its interval in words."""
        if self.low is None or self.high is None:
            return format_value(self.value, self.unit), ""
        low, high = (format_value(end, self.unit) for end in (self.low, self.high))
        return format_value(self.value, self.unit), f"{low} to {high}"


def read_scores(folder: Path) -> Iterator[Score]:
    """Yield the metrics in `result.json` on test and validation samples, in its order; nothing if it cannot be read.

    Counts are left out, because shares show them.
    """
    try:
        result = read_document(folder / "result.json", ResultFile)
    except RunError:
        return
    known, predictions = known_metrics(), _predictions(folder)
    for split, metrics in (("test", result.metrics), ("validation", result.validation)):
        # without the unset fields, which are None for metrics that this run did not measure
        measured = {} if metrics is None else metrics.model_dump(exclude_unset=True)
        for name, value in measured.items():
            metric = known.get(name)
            # a number of a later version is unknown, an infinite one is null
            if metric is not None and metric.unit != "count" and isinstance(value, int | float):
                yield _score(split, metric, measured, _labelled_predictions(split, predictions))


def _score(split: str, metric: Metric, metrics: Mapping[str, Any], predictions: tuple[Tensor, Tensor] | None) -> Score:
    value, interval = metrics[metric.name], metric.interval
    if interval is None:
        return Score(split, metric.name, value, unit=metric.unit, how=metric.how)
    # only the error is stored with its interval; the others are computed from counts and predictions
    bounds = metrics.get(f"{metric.name}_interval") or interval.bounds(value, metrics, predictions)
    how = ", ".join(filter(None, [metric.how, interval.describe(metrics, bounds)]))
    low, high = bounds or (None, None)
    return Score(split, metric.name, value, low, high, metric.unit, how)


def _predictions(folder: Path) -> dict[str, Tensor]:
    try:
        return read_predictions(Run(folder))
    except RunError:  # a damaged file costs its intervals, not the scores
        return {}


def _labelled_predictions(split: str, predictions: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """Return logits and labels of the labelled samples; None for samples with positions, or without logits."""
    logits, labels = predictions.get(f"{split}.logits"), predictions.get(f"{split}.labels")
    # positions of one sample are not independent, so an interval over them would be too narrow
    if logits is None or labels is None or labels.dim() != 1:
        return None
    known = labels >= 0
    return logits[known], labels[known]
