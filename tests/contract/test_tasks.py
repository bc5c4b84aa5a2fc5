"""What every task keeps to. A new task is one new row in CASES."""

import pytest
import torch

from instar.analysis import Scores
from instar.tasks import (
    TASKS,
    Classification,
    Entities,
    NextToken,
    Regression,
    Task,
    Words,
    known_metrics,
)

CASES = {
    "Classification": Classification(),
    "NextToken": NextToken(),
    "Words": Words(states=2),
    "Entities": Entities(),
    "Regression": Regression(mean=1.0, std=2.0),
}
OF_TEACHER = {"teacher_error", "agreement", "kl_to_teacher", "teacher_rmse", "teacher_r2", "rmse_to_teacher"}
CLASSES = tuple("abcdef")
LABELS = torch.tensor([[0, 0, 1], [2, 3, 3]]).repeat(3, 1)  # states of two words, or any classes
LOGITS = torch.randn(6, 3, 6, generator=torch.Generator().manual_seed(0))
SCORES = Scores.of(LOGITS.flatten(0, 1), LABELS.flatten())


def observe(task):
    """Return scores, classes and what a task observes of samples with positions, or with one number each."""
    if not task.predicts_numbers:
        assert task.find_problem(LABELS, CLASSES) is None
        observed = task.observe(LOGITS.log_softmax(-1), LABELS, torch.full((6,), 3))
        return SCORES, CLASSES, observed | task.observe_examples(LOGITS.flatten(0, 1), LABELS.flatten())
    labels, predicted = torch.zeros(6, dtype=torch.int64), LOGITS[:, 0, :1]
    assert task.find_problem(labels, ("price",)) is None
    observed = task.observe_numbers(predicted[:, 0], LOGITS[:, 1, 0], labels, predicted[:, 0])
    return Scores.of(predicted, labels), ("price",), observed


def test_every_task_is_listed_and_has_a_case():
    tasks = {task for task in Task.__subclasses__() if task.__module__.startswith("instar.")}
    assert set(TASKS.values()) == tasks
    assert {name: type(task) for name, task in CASES.items()} == TASKS


@pytest.mark.parametrize("name", CASES)
def test_a_task_measures_every_metric_that_it_lists(name):
    task = CASES[name]
    found = task.measure(*observe(task))
    for metric in task.metrics:
        if metric.name not in OF_TEACHER:
            assert isinstance(found[metric.name], int | float)
            assert (metric.terminal_line(found) is None) == (not metric.label)
        assert (metric.title == "") == (metric.meaning == ""), "the legend explains every column"


@pytest.mark.parametrize("name", CASES)
def test_the_criterion_of_a_task_is_watched_during_training(name):
    task = CASES[name]
    assert task.criterion in task.metrics
    assert task.criterion.better == "lower"
    assert task.criterion.name in task.watch(*observe(task)[::2])


@pytest.mark.parametrize("name", CASES)
def test_the_name_of_a_metric_means_the_same_in_every_task(name):
    metrics, known = CASES[name].metrics, known_metrics()
    assert [known[metric.name] for metric in metrics] == list(metrics)
    places = [list(known).index(metric.name) for metric in metrics]
    assert places == sorted(set(places)), "tables keep the order of every task"
