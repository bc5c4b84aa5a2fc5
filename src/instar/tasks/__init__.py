"""What labels mean: the tasks, the metrics that each is judged by, and how a metric is shown."""

from instar.tasks.catalogue import TASKS, known_metrics
from instar.tasks.classification import Classification
from instar.tasks.entities import Entities
from instar.tasks.intervals import Interval, Measured, StudentT, Wilson
from instar.tasks.metric import Estimate, Metric, format_value
from instar.tasks.next_token import NextToken
from instar.tasks.regression import Regression
from instar.tasks.task import Task
from instar.tasks.words import Words

__all__ = [
    "TASKS",
    "Classification",
    "Entities",
    "Estimate",
    "Interval",
    "Measured",
    "Metric",
    "NextToken",
    "Regression",
    "StudentT",
    "Task",
    "Wilson",
    "Words",
    "format_value",
    "known_metrics",
]
