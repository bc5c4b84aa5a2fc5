"""The interface of terms that compare numbers."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.batch import Batch
from instar.objectives.aims import Aim
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets

Origin = Literal["labels", "teacher"]


class NumberTerm(Term):
    """A term of the distance d = (z - y) / s of a prediction z from a number y.

    s is the standard deviation of the training labels, so that the loss, and with it the learning rate and the weights
    of terms, do not depend on the unit of the labels.

    A term is a dataclass with the field `of`: "labels", or "teacher" for the numbers that the teacher predicts, which
    samples without a label have too.
    """

    of: Origin
    outputs: ClassVar[Literal["classes", "numbers", "both"]] = "numbers"
    noun: ClassVar[str]
    """Name of the term in metrics.jsonl, without that of the teacher."""

    @property
    def needs(self) -> frozenset[Need]:
        """Labels, or a teacher."""
        return frozenset({Need.LABELS if self.of == "labels" else Need.TEACHER})

    @property
    def name(self) -> str:
        """Name of the term, and whose numbers it compares."""
        return self.noun if self.of == "labels" else f"{self.noun}_to_teacher"

    @abstractmethod
    def of_distances(self, distances: Tensor) -> Tensor:
        """Return the loss of each distance, in the shape of the distances."""

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the loss of each example; that of an unlabelled example is 0."""
        predicted = logits[:, 0]
        if self.of == "teacher":
            assert targets is not None, "Objective.check refuses a run without a teacher"
            return Value(self.of_distances((predicted - targets.logits()[:, 0].to(predicted)) / spread_of(batch)))
        known = batch.labels != UNLABELLED
        # chosen before the subtraction, because a missing number is NaN, and NaN * 0 is NaN in a gradient too
        numbers = torch.where(known, batch.numbers.to(predicted), predicted.detach())
        return Value(torch.where(known, self.of_distances((predicted - numbers) / spread_of(batch)), 0.0))

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the numbers, standardised; an unlabelled example has the weight 0."""
        mean, spread = scale_of(batch)
        if self.of == "teacher":
            assert targets is not None, "Objective.check refuses a run without a teacher"
            numbers, weights = targets.logits()[:, :1].double(), None
        else:
            known = batch.labels != UNLABELLED
            numbers, weights = batch.numbers[:, None].double().where(known[:, None], mean), known.double()
        return Aim((numbers - mean) / spread, None, weights, are_numbers=True, of_distances=self.of_distances)


def spread_of(batch: Batch) -> float:
    """Return the standard deviation of the training labels of the data that a batch is from; 1 if it is made by hand.

    >>> spread_of(Batch.of_labels(torch.tensor([0])))
    1.0
    """
    return scale_of(batch)[1]


def scale_of(batch: Batch) -> tuple[float, float]:
    """Return mean and standard deviation of these labels; 0 and 1 if the batch is made by hand."""
    return (batch.origin.samples.source.task.output_scale if batch.origin else None) or (0.0, 1.0)
