"""A task: what labels mean, and the metrics that a model is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from instar.analysis.agreement import fidelity
from instar.analysis.metrics import all_metrics, quick_metrics
from instar.analysis.scores import Scores
from instar.analysis.student_gain import gain
from instar.tasks.metric import Metric
from instar.tasks.metrics import NLL


@dataclass(frozen=True)
class Task:
    """What labels mean, and the metrics that a model is judged by.

    A new task is a file with a subclass and one line in `TASKS`.

    Attributes:
        metrics: in the order in which tables show them. A name means the same metric in every task.
        criterion: the metric that early stopping and the plateau schedule look at during training; lower is better.
        is_causal: whether models predict the label of a position from this position and those before it alone.
    """

    metrics: ClassVar[tuple[Metric, ...]] = ()
    criterion: ClassVar[Metric] = NLL
    is_causal: ClassVar[bool] = False

    @property
    def is_stream(self) -> bool:
        """Whether each sample continues where the one before it ends, as windows of a text do."""
        return False

    def find_problem(self, labels: Tensor, classes: tuple[str, ...]) -> str | None:
        """Return why labels or classes do not fit this task, for "classes of 'data' must be ..."; None if they do."""
        return None

    @property
    def predicts_numbers(self) -> bool:
        """Whether models predict numbers, and no classes."""
        return False

    @property
    def output_scale(self) -> tuple[float, float] | None:
        """Mean and standard deviation by which the outputs of a new network are scaled; None: they are logits."""
        return None

    def describe_labels(self, classes: tuple[str, ...]) -> str | None:
        """Return what the labels are, for the description of the data; None: the classes."""
        return None

    def observe(self, logits: Tensor, labels: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return what the metrics need from a batch beside the scores of its examples; batches are concatenated.

        Args:
            logits: `[batch, position, classes]` or `[batch, classes]`.
            labels: in the shape of the logits without classes, `UNLABELLED` for missing labels.
            lengths: valid positions of each sample, int64 `[batch]`.
        """
        return {}

    def observe_numbers(
        self, predicted: Tensor, numbers: Tensor, labels: Tensor, teacher: Tensor | None
    ) -> dict[str, Tensor]:
        """Return what the metrics of a task of numbers need from a batch; batches are concatenated.

        Args:
            predicted: predicted numbers, `[batch]`.
            numbers: labels, `[batch]`.
            labels: `UNLABELLED` where there is no label, `[batch]`.
            teacher: numbers that the teacher predicts, `[batch]`; None: there is no teacher.
        """
        return {}

    def observe_examples(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return what the metrics need of each example beside its scores, in their order; batches are concatenated.

        Args:
            logits: `[examples, classes]` of the labelled examples of a batch.
            labels: known labels, `[examples]`.
        """
        return {}

    def measure(self, scores: Scores, classes: tuple[str, ...], observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the metrics of a model, with the counts behind them, by name.

        Args:
            scores: scores of the labelled examples.
            classes: their names.
            observed: results of `observe` and `observe_examples`, concatenated over all batches.
        """
        known = scores.known()
        found = all_metrics(known, classes)
        for metric in self.metrics:
            found |= metric.measured(known, observed)
        return found

    def compare(
        self, student: Scores, teacher: Scores, divergences: Tensor, observed: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        """Return how closely a student follows its teacher, the error of the teacher, and the gain of the student.

        Args:
            student: scores of the student.
            teacher: scores of the teacher on the same examples.
            divergences: KL(teacher || student) in nats, `[examples]`.
            observed: results of `observe`, concatenated over all batches.
        """
        found: dict[str, Any] = dict(fidelity(student, teacher, divergences))
        return found | {"teacher_error": quick_metrics(teacher)["error"], "gain": gain(student, teacher)}

    def kept(self, observed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what a run folder keeps of `observed` beside the predictions."""
        return {}

    def class_names(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the classes that a whole sample may have, for those of the logits."""
        return classes

    def answer(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """Return the probability of each class of `class_names` for whole samples, `[batch, classes]`.

        Args:
            log_probs: `[batch, classes]`, or `[batch, position, classes]`, which is returned as it is where a task has
                no class for a whole sample.
            lengths: valid positions of each sample, int64 `[batch]`.
        """
        return log_probs.exp()

    def watch(self, scores: Scores, observed: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics that training records, which are quick to compute and include the criterion."""
        return quick_metrics(scores)

    def chance(self, counts: Tensor) -> float:
        """Return the error of a model that predicts the commonest class everywhere.

        Args:
            counts: number of examples of each class, int64 `[classes]`.

        >>> import torch
        >>> Task().chance(torch.tensor([3, 1]))
        0.25
        """
        return 1 - float(counts.max()) / int(counts.sum())
