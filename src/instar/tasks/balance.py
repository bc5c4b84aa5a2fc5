"""Metrics that count rare classes as much as common ones, for tables and other data with uneven classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from instar.analysis.imbalance import (
    average_precision,
    balanced_error,
    balanced_error_interval,
    log_odds,
    macro_f1,
)
from instar.analysis.linearised import Linearised
from instar.analysis.scores import Scores
from instar.analysis.significance import wilson_interval
from instar.tasks.intervals import Measured, Wilson
from instar.tasks.metric import Estimate, Metric

ODDS, RANKS, SIZES = "log_odds", "ranks_of_labels", "sizes"
"""Observed: log-odds of all classes, how many classes are predicted before the label, and labels of each sample."""

MAX_RANKED_CLASSES = 100
"""Largest number of classes whose log-odds are kept for the average precision: 40 MB for 100,000 examples."""

TOP = 5
"""Number of predictions of which one must be right for the top-5 error."""


def _are_samples(observed: Mapping[str, Tensor]) -> bool:
    # positions of one sample are not independent, so an interval over them would be too narrow
    return SIZES not in observed


def _measure_balanced_error(scores: Scores, observed: Mapping[str, Tensor]) -> Estimate:
    found, labels = balanced_error(scores.answers, scores.labels), scores.labels.numpy()
    counts = np.bincount(labels)
    errors = np.bincount(labels[scores.wrong.numpy()], minlength=len(counts))
    return Estimate(found.value, balanced_error_interval(errors, counts) if _are_samples(observed) else None)


def _measure_macro_f1(scores: Scores, observed: Mapping[str, Tensor]) -> Estimate:
    found = macro_f1(scores.answers, scores.labels)
    return Estimate(found.value, found.share_interval() if _are_samples(observed) else None)


def _measure_average_precision(scores: Scores, observed: Mapping[str, Tensor]) -> Estimate | None:
    if ODDS not in observed:
        return None
    found = average_precision(observed[ODDS], scores.labels)
    return Estimate(found.value, found.share_interval() if _are_samples(observed) else None)


def _measure_top_error(_: Scores, observed: Mapping[str, Tensor]) -> Estimate | None:
    if RANKS not in observed:
        return None
    wrong = observed[RANKS] >= TOP
    interval = wilson_interval(int(wrong.sum()), len(wrong)) if _are_samples(observed) else None
    return Estimate(float(wrong.double().mean()), interval)


def _rank_few_classes(logits: Tensor, labels: Tensor) -> Linearised | None:
    return average_precision(log_odds(logits), labels) if logits.shape[1] <= MAX_RANKED_CLASSES else None


def _of_answers(compute: Callable[[Tensor, Tensor], Linearised]) -> Callable[[Tensor, Tensor], Linearised]:
    return lambda logits, labels: compute(logits.max(1).indices, labels)


BALANCED_ERROR = Metric(
    "balanced_error",
    "share",
    interval=Measured("Zou and Donner", _of_answers(balanced_error)),
    measure=_measure_balanced_error,
    label="balanced error",
    title="Balanced error",
    meaning="Mean over classes of the share of their test samples that are wrong, so that rare classes count as much.",
)
MACRO_F1 = Metric(
    "macro_f1",
    "share",
    "higher",
    interval=Measured("delta method", _of_answers(macro_f1)),
    measure=_measure_macro_f1,
    label="macro f1",
    title="Macro F1",
    meaning="Mean over classes of F1, the harmonic mean of precision and recall; higher is better.",
    how="mean over classes",
)
AVERAGE_PRECISION = Metric(
    "average_precision",
    "share",
    "higher",
    interval=Measured("delta method", _rank_few_classes),
    measure=_measure_average_precision,
    label="average precision",
    title="Average precision",
    meaning="Mean over classes of the area under the curve of precision over recall; higher is better.",
    how="mean over classes",
)
TOP_5_ERROR = Metric(
    "top_5_error",
    "share",
    interval=Wilson(),
    measure=_measure_top_error,
    label="top 5",
    title="Top-5 error",
    meaning="Share of the test samples whose class is not among the five likeliest.",
)
