"""The squared error of predicted numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from instar.checks import checked
from instar.data.batch import Batch
from instar.objectives.aims import Aim
from instar.objectives.numbers.number_term import NumberTerm, Origin
from instar.targets.targets import Targets


@checked
@dataclass(frozen=True)
class SquaredError(NumberTerm):
    """l = d² / 2 with d = (z - y) / s: half the squared error, in standard deviations s of the training labels.

    Its minimum is the mean. With `of="teacher"`, y is what the teacher predicts.

    Args:
        of: "labels" or "teacher".

    >>> import torch
    >>> from instar.data.batch import Batch
    >>> from instar.targets import DenseTargets
    >>> batch, teacher = Batch.of_labels(torch.tensor([0, 0])), DenseTargets(torch.tensor([[1.0], [2.0]]))
    >>> SquaredError("teacher")(torch.tensor([[3.0], [2.0]]), batch, teacher).loss.tolist()
    [2.0, 0.0]
    """

    of: Origin = "labels"

    noun = "squared_error"

    def of_distances(self, distances: Tensor) -> Tensor:
        """Return d² / 2."""
        return distances.square() / 2

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the standardised numbers, whose mean is best."""
        return replace(super().aim(batch, targets, classes), of_distances=None)
