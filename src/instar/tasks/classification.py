"""Classification: each sample, or each position of one, has one of several classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from instar.tasks.metric import Metric
from instar.tasks.metrics import metrics_of_classes
from instar.tasks.task import Task


@dataclass(frozen=True)
class Classification(Task):
    """Each sample, or each position of one, has one of several classes."""

    metrics: ClassVar[tuple[Metric, ...]] = metrics_of_classes()
