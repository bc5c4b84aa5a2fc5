"""The measured numbers of a run folder with their 95% intervals, for people and for model cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instar.analysis import wilson_interval
from instar.errors import RunError
from instar.runs.documents import ResultFile, read_document
from instar.runs.predictions import read_predictions
from instar.runs.run import Run


@dataclass(frozen=True)
class Score:
    """One number.

    Args:
        split: "test" or "validation".
        name: what it is.
        value: the number.
        low: of its 95% interval; none where there is none.
        high: of the same.
        unit: "share" (of 1), "nats" or "".
        how: of the interval, and how many examples there were.
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
            return self._form(self.value), ""
        return self._form(self.value), f"{self._form(self.low)} to {self._form(self.high)}"

    def _form(self, value: float) -> str:
        return f"{value:.2%}" if self.unit == "share" else f"{value:.4f} {self.unit}".strip()


def scores_of(folder: Path) -> Iterator[Score]:
    """Yield what `result.json` holds about test and validation samples; nothing where it cannot be read.

    Errors and agreement have Wilson's interval. The mean NLL of samples without positions has that of Student's t, from
    the predictions; positions of one sample are no independent draws, so theirs has none.
    """
    try:
        result = read_document(folder / "result.json", ResultFile)
    except RunError:
        return
    splits = {
        split: metrics.model_dump(exclude_unset=True)
        for split, metrics in (("test", result.metrics), ("validation", result.validation))
        if metrics is not None
    }
    predictions = _predictions(folder)
    for split, metrics in splits.items():
        if isinstance(metrics, dict) and {"error", "errors", "samples", "nll", "ece"} <= metrics.keys():
            yield from (score for score in _of_split(split, metrics, predictions) if score.value is not None)


def _of_split(split: str, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor]) -> Iterator[Score]:
    samples = int(metrics["samples"])
    low, high = metrics.get("error_interval") or wilson_interval(metrics["errors"], samples)
    yield Score(split, "error", metrics["error"], low, high, how=f"{metrics['errors']} of {samples}, Wilson")
    low, high = _nll_interval(split, predictions)
    how = "" if low is None else "Student's t"
    yield Score(split, "nll", metrics["nll"], low, high, unit="nats", how=how)
    yield Score(split, "ece", metrics["ece"], how="15 bins")
    if "perplexity" in metrics:
        yield Score(split, "perplexity", metrics["perplexity"], unit="", how="per token")
    if "word_error" in metrics:
        wrong, words = int(metrics["word_errors"]), int(metrics["words"])
        low, high = wilson_interval(wrong, words)
        yield Score(split, "word_error", metrics["word_error"], low, high, how=f"{wrong} of {words}, Wilson")
    if "agreement" in metrics:
        others = (1 - metrics["agreement"]) * samples
        whole = abs(others - round(others)) < 1e-6  # not where samples without labels were asked about as well
        low, high = wilson_interval(samples - round(others), samples) if whole else (None, None)
        yield Score(split, "agreement", metrics["agreement"], low, high, how="with the teacher, Wilson")
    if "kl_to_teacher" in metrics:
        yield Score(split, "kl_to_teacher", metrics["kl_to_teacher"], unit="nats", how="KL(teacher || student)")
    if "teacher_error" in metrics:
        low, high = wilson_interval(round(metrics["teacher_error"] * samples), samples)
        yield Score(split, "teacher_error", metrics["teacher_error"], low, high, how="Wilson")


def _predictions(folder: Path) -> dict[str, Tensor]:
    try:
        return read_predictions(Run(folder))
    except RunError:
        return {}


def _nll_interval(split: str, predictions: Mapping[str, Tensor]) -> tuple[float | None, float | None]:
    from scipy.stats import ttest_1samp

    logits, labels = predictions.get(f"{split}.logits"), predictions.get(f"{split}.labels")
    if logits is None or labels is None or labels.dim() != 1:
        return None, None
    known = labels >= 0
    nll = torch.nn.functional.cross_entropy(logits[known].double(), labels[known], reduction="none")
    if len(nll) < 2 or not nll.isfinite().all():
        return None, None
    interval = ttest_1samp(nll.numpy(), 0.0).confidence_interval(0.95)
    return float(interval.low), float(interval.high)
