"""Correlations of probabilities, of the classes of an example and of the examples of a class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import Temperature, Weight, checked
from instar.data.batch import Batch
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets

_MIN_NORM = 1e-8
"""Added to the length of centred probabilities, which is 0 where all are equal; as in the authors' code."""


@checked
@dataclass(frozen=True)
class Correlation(Term):
    """l_n = T^2 (beta (1 - r(p_n, q_n)) + gamma (1 - mean over c of r(p^c, q^c))), with Pearson's correlation r (DIST).

    Per example n of a batch. p_n and q_n are the probabilities of teacher and student for the classes of n, softened by
    T, and p^c and q^c those of class c for the examples of the batch. Positions that are not valid are left out.

    Source: Huang et al. 2022, "Knowledge distillation from a stronger teacher", equations 6 to 9. They add
    `HardLabels()`, with beta = gamma = 2 and T = 4 on CIFAR-100.

    Args:
        beta: weight of the correlation over classes, at least 0.
        gamma: weight of the correlation over examples, at least 0.
        temperature: T, above 0.

    >>> from instar.targets import DenseTargets
    >>> batch, teacher = Batch.of_labels(torch.tensor([0, 1])), DenseTargets(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    >>> Correlation()(torch.tensor([[0.0, 2.0], [0.0, 2.0]]), batch, teacher).loss.round(decimals=4)
    tensor([3., 1.])
    """

    beta: Weight = 1.0
    gamma: Weight = 1.0
    temperature: Temperature = 1.0

    needs = frozenset({Need.TEACHER})
    name = "correlation"
    relates_examples = True

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the weighted distances from perfect correlation per example."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        p = targets.log_probs(self.temperature).exp().to(logits)
        q = torch.softmax(logits / self.temperature, -1)
        valid = torch.ones(batch.labels.shape, dtype=torch.bool, device=q.device) if batch.mask is None else batch.mask
        p, q = p[valid], q[valid]  # [examples, classes]
        # the mean over classes is the same number for each example
        losses = self.beta * (1 - correlate(p, q, 1)) + self.gamma * (1 - correlate(p, q, 0).mean())
        found = torch.zeros(batch.labels.shape, dtype=q.dtype, device=q.device)
        return Value(found.masked_scatter(valid, self.temperature**2 * losses))


def correlate(first: Tensor, second: Tensor, axis: int) -> Tensor:
    """Return Pearson's correlation along an axis.

    >>> correlate(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0, 3.0, 1.0]), 0).round(decimals=4)
    tensor(-1.)
    """
    first, second = (values - values.mean(axis, keepdim=True) for values in (first, second))
    # the norm has no gradient at 0, where all values are equal
    lengths = [(values.square().sum(axis) + _MIN_NORM**2).sqrt() for values in (first, second)]
    return (first * second).sum(axis) / (lengths[0] * lengths[1] + _MIN_NORM)
