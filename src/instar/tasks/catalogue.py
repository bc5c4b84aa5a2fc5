"""The tasks that there are, and the metrics of them all."""

from __future__ import annotations

from instar.tasks.classification import Classification
from instar.tasks.entities import Entities
from instar.tasks.metric import Metric
from instar.tasks.next_token import NextToken
from instar.tasks.regression import Regression
from instar.tasks.task import Task
from instar.tasks.words import Words

_TASK_TYPES: tuple[type[Task], ...] = (
    Classification,
    NextToken,
    Words,
    Entities,
    Regression,
)
TASKS = {task.__name__: task for task in _TASK_TYPES}


def known_metrics() -> dict[str, Metric]:
    """Return the metrics of all tasks by name, in the order in which tables show them.

    Run folders store numbers by these names, so tables and reports need no task.

    >>> [name for name, metric in known_metrics().items() if metric.label]
    ['error', 'nll', 'balanced_error', 'macro_f1', 'average_precision', 'top_5_error', 'perplexity', 'word_error', \
'entity_f1', 'ece', 'agreement', 'r2', 'rmse', 'mae', 'rmse_to_teacher']
    """
    found: list[Metric] = []
    for task in TASKS.values():
        place = len(found)
        # backwards, so that a metric of this task alone is inserted before the shared metric that follows it here
        for metric in reversed(task.metrics):
            if metric in found:
                place = found.index(metric)
            else:
                found.insert(place, metric)
    return {metric.name: metric for metric in found}
