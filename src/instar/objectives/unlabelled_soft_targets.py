"""Soft targets for the examples that have no label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.checks import Temperature, checked
from instar.data.loader import Batch
from instar.objectives.objective import Need, Term, Value
from instar.objectives.soft_targets import SoftTargets
from instar.targets.targets import Targets


@checked
@dataclass(frozen=True)
class UnlabelledSoftTargets(Term):
    """l = -T^2 sum_c p_c^T log q_c^T for an example without a label, and 0 for one with a label.

    With `HardLabels()` beside it, every example is learnt once: from its label, or from the teacher. That is the second
    way in which a specialist is kept from over-fitting: labels for its own classes, the generalist for all others.

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

    @cached_property
    def _of_all(self) -> SoftTargets:
        return SoftTargets(self.temperature)

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return T^2 times the cross-entropy per example without a label, and the KL divergence beside it."""
        value = self._of_all(logits, batch, targets)
        is_taught = batch.labels == UNLABELLED
        beside = {name: torch.where(is_taught, found, 0.0) for name, found in value.beside.items()}
        return Value(torch.where(is_taught, value.loss, 0.0), beside)
