"""Squared distance of logits, the limit of distillation at high temperature."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.data.batch import Batch
from instar.objectives.aims import Aim
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets


@dataclass(frozen=True)
class LogitMatching(Term):
    """l = 1/(2C) sum_c ((z_c - mean z) - (v_c - mean v))^2 over C classes.

    Per example. The logits are centred, because adding a constant to all logits changes no probability. The gradient
    for centred logits is (z_c - v_c) / C, the limit of `SoftTargets(T)` as T grows.

    Source: Hinton et al. 2015, section 2.1, equation 4, times T^2.

    >>> import torch
    >>> from instar.targets import DenseTargets
    >>> batch, teacher = Batch.of_labels(torch.tensor([0])), DenseTargets(torch.tensor([[9.0, 9.0]]))
    >>> LogitMatching()(torch.tensor([[1.0, 3.0]]), batch, teacher).loss
    tensor([0.5000])
    """

    needs = frozenset({Need.TEACHER})
    name = "logit_matching"

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return half the mean squared distance per example."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        difference = logits - targets.logits().to(logits)
        # the difference of the centred logits is the centred difference, which needs one mean instead of two
        centred = difference - difference.mean(-1, keepdim=True)
        # the mean over classes is the 1/C; the 1/2 makes the gradient (z - v) / C
        return Value(centred.square().mean(-1) / 2)

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the centred logits of the teacher."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        logits = targets.logits()
        return Aim(logits - logits.mean(-1, keepdim=True), None)
