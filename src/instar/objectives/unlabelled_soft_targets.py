"""Soft targets for unlabelled examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.checks import Temperature, checked
from instar.data.batch import Batch
from instar.objectives.aims import Aim
from instar.objectives.objective import Term
from instar.objectives.soft_targets import SoftTargets
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets


@checked
@dataclass(frozen=True)
class UnlabelledSoftTargets(Term):
    """l = -T^2 sum_c p_c^T log q_c^T for an unlabelled example, and 0 for a labelled one.

    Together with `HardLabels()`, the student learns each example either from its label or from the teacher. A
    specialist that learns labels of its classes and the generalist's targets for all others over-fits less. A mixed
    sample is unlabelled by the share of those of its two labels that are missing.

    Source: Hinton et al. 2015, section 6.1.

    Args:
        temperature: T, above 0.

    Raises:
        ConfigError: when T is not above 0.

    >>> from instar.targets import DenseTargets
    >>> teacher = DenseTargets(torch.zeros(2, 2))
    >>> UnlabelledSoftTargets(1)(torch.zeros(2, 2), Batch.of_labels(torch.tensor([0, -1])), teacher).loss
    tensor([0.0000, 0.6931])
    """

    temperature: Temperature = 1.0

    needs = frozenset({Need.TEACHER})
    name = "unlabelled_soft_targets"
    is_linear_in_labels = True

    @cached_property
    def _of_all(self) -> SoftTargets:
        return SoftTargets(self.temperature)  # a wrapper rather than a subclass, which would override its loss

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return T^2 times the cross-entropy per unlabelled example, and record the KL divergence."""
        value = self._of_all(logits, batch, targets)
        is_taught = batch.labels == UNLABELLED
        # where, not a product: the teacher of a labelled example may predict anything, and 0 * inf is NaN
        beside = {name: torch.where(is_taught, found, 0.0) for name, found in value.beside.items()}
        return Value(torch.where(is_taught, value.loss, 0.0), beside)

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return p^T of the teacher; a labelled example has the weight 0."""
        of_all = self._of_all.aim(batch, targets, classes)
        assert of_all.weights is not None, "SoftTargets has the factor T^2"
        return replace(of_all, weights=of_all.weights * (batch.labels == UNLABELLED).cpu())
