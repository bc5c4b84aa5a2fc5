"""Regression: the label of each sample is a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from instar.analysis.numbers import linearise_numbers, measure_numbers
from instar.analysis.scores import UNLABELLED, Scores
from instar.tasks.intervals import Recorded
from instar.tasks.metric import Metric
from instar.tasks.task import Task

_PREDICTED, _NUMBERS, _TEACHER = "predicted", "numbers", "numbers_of_teacher"

MAX_OFFSET = 1e5
"""Largest distance of the mean of numbers from 0, in standard deviations, that float32 leaves two digits of."""

R2 = Metric(
    "r2",
    "coefficient",
    "higher",
    interval=Recorded("delta method"),
    label="R²",
    title="R²",
    meaning="Share of the variance of the test labels that the predictions explain; 1 is perfect, 0 is their mean.",
)
RMSE = Metric(
    "rmse",
    "number",
    interval=Recorded("Student's t, of squared errors"),
    label="rmse",
    title="RMSE",
    meaning="Root of the mean squared error on the test set, in the unit of the labels.",
)
MAE = Metric(
    "mae",
    "number",
    interval=Recorded("Student's t"),
    label="mae",
    title="MAE",
    meaning="Mean absolute error on the test set, in the unit of the labels.",
)
BELOW = Metric(
    "below",
    "share",
    how="share of predictions below the label",
)
# no title, so no column: R² says the same in the unit of the test set
SCALED_ERROR = Metric("scaled_error", "coefficient", how="mean squared error over the variance of the training labels")
RMSE_OF_TEACHER = Metric(
    "teacher_rmse", "number", title="Teacher RMSE", meaning="RMSE of the teacher on the test set.", has_spread=False
)
R2_OF_TEACHER = Metric(
    "teacher_r2", "coefficient", "higher", title="Teacher R²", meaning="R² of the teacher.", has_spread=False
)
DISTANCE = Metric(
    "rmse_to_teacher",
    "number",
    label="to teacher",
    title="RMSE to teacher",
    meaning="Root of the mean squared difference between the predictions of student and teacher, labelled or not.",
)


@dataclass(frozen=True)
class Regression(Task):
    """The label of each sample is a number, which models predict in its own unit.

    Labels of the source tell which numbers are known: 0 for a known one, and `UNLABELLED`. The numbers are a column.

    Args:
        mean: mean of the training labels.
        std: their standard deviation; networks and losses work in units of it.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        R2_OF_TEACHER,
        RMSE_OF_TEACHER,
        R2,
        RMSE,
        MAE,
        BELOW,
        SCALED_ERROR,
        DISTANCE,
    )
    criterion: ClassVar[Metric] = SCALED_ERROR
    mean: float = 0.0
    std: float = 1.0

    @property
    def predicts_numbers(self) -> bool:
        """True: outputs are numbers, and no logits of classes."""
        return True

    @property
    def default_objective(self) -> tuple[str, str]:
        """Objectives for labels alone, and for a teacher."""
        return "SquaredError()", "SquaredError('teacher') + 0.1 * SquaredError()"

    @property
    def output_scale(self) -> tuple[float, float]:
        """Mean and standard deviation of what models predict."""
        return self.mean, self.std

    def find_problem(self, labels: Tensor, classes: tuple[str, ...]) -> str | None:
        """Return why labels are no single number per sample."""
        fits = labels.dim() == 1 and len(classes) == 1
        return None if fits else f"the name of one number per sample, got {len(classes)}"

    def describe_labels(self, classes: tuple[str, ...]) -> str:
        """Return the name of the number, and its mean and spread in the training samples."""
        return f"labels are the number '{classes[0]}' ({self.mean:,.5g} ± {self.std:,.5g})"

    def observe_numbers(
        self, predicted: Tensor, numbers: Tensor, labels: Tensor, teacher: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the predictions, the numbers where they are known and NaN elsewhere, and the teacher's predictions."""
        found = {_PREDICTED: predicted, _NUMBERS: numbers.where(labels != UNLABELLED, math.nan)}
        return found if teacher is None else found | {_TEACHER: teacher}

    def measure(self, scores: Scores, classes: tuple[str, ...], observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return R², RMSE and MAE with their intervals, in the unit of the labels."""
        found = _measure(observed[_PREDICTED], observed[_NUMBERS])
        return found | {SCALED_ERROR.name: found[RMSE.name] ** 2 / self.std**2}

    def compare(
        self, student: Scores, teacher: Scores, divergences: Tensor, observed: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        """Return the errors of the teacher, and the distance of the student from it."""
        theirs, own = observed[_TEACHER], observed[_PREDICTED]
        found = _measure(theirs, observed[_NUMBERS])
        distance = math.sqrt(float((own.double() - theirs.double()).square().mean()))
        known = {f"teacher_{name}": found[name] for name in (RMSE.name, R2.name) if name in found}
        return known | {DISTANCE.name: distance}

    def watch(self, scores: Scores, observed: Mapping[str, Tensor]) -> dict[str, float]:
        """Return RMSE, R² and the criterion."""
        known = ~observed[_NUMBERS].isnan()
        found = linearise_numbers(observed[_PREDICTED][known], observed[_NUMBERS][known])
        values = {name: found[name].value for name in (RMSE.name, R2.name) if name in found}
        return values | {SCALED_ERROR.name: values[RMSE.name] ** 2 / self.std**2}

    def kept(self, observed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the numbers and the teacher's predictions, float32 `[samples]`."""
        return {name: observed[name].float() for name in (_NUMBERS, _TEACHER) if name in observed}


def _measure(predicted: Tensor, numbers: Tensor) -> dict[str, Any]:
    known = ~numbers.isnan()
    return measure_numbers(predicted[known], numbers[known])
