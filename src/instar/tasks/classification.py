"""Classification: each sample, or each position of one, has one of several classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from instar.analysis.imbalance import label_ranks, log_odds
from instar.analysis.scores import UNLABELLED
from instar.tasks.balance import (
    AVERAGE_PRECISION,
    BALANCED_ERROR,
    MACRO_F1,
    MAX_RANKED_CLASSES,
    ODDS,
    RANKS,
    SIZES,
    TOP,
    TOP_5_ERROR,
)
from instar.tasks.metric import Metric
from instar.tasks.metrics import metrics_of_classes
from instar.tasks.task import Task


@dataclass(frozen=True)
class Classification(Task):
    """Each sample, or each position of one, has one of several classes."""

    metrics: ClassVar[tuple[Metric, ...]] = metrics_of_classes(BALANCED_ERROR, MACRO_F1, AVERAGE_PRECISION, TOP_5_ERROR)

    def observe(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return the number of labels of each sample if labels are at positions."""
        return {SIZES: (labels != UNLABELLED).sum(1)} if labels.dim() > 1 else {}

    def observe_examples(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the log-odds of up to 100 classes, and for more than 5 classes the ranks of the labels."""
        classes, found = logits.shape[1], {}
        if classes <= MAX_RANKED_CLASSES:
            found[ODDS] = log_odds(logits)
        if classes > TOP:
            found[RANKS] = label_ranks(logits, labels)
        return found
