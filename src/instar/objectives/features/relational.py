"""Distances and angles between the examples of a batch, as a layer of the teacher sees them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.checks import Weight, checked
from instar.errors import ConfigError
from instar.objectives.features.feature_term import FeatureTerm

_MIN_SQUARED_DISTANCE = 1e-12
"""Smallest squared distance of two examples, because the square root of 0 has no gradient."""


@checked
@dataclass(frozen=True)
class Relational(FeatureTerm):
    """l_n = sum over pairs of d mean over m of h(S_nm, T_nm) + a mean over j, k of h(U_njk, V_njk) (RKD).

    Per example n of a batch of B, so the mean over the batch is that over all B^2 distances and B^3 angles. S and T are
    the distances ||A_n - A_m|| of student and teacher, each divided by its mean over pairs of different examples. U
    and V are the cosines of the angles at n between j and k. h is the Huber loss: x^2 / 2 up to |x| = 1, |x| - 1/2
    beyond. A is the flattened output of a layer, `[batch, features]`, of any shape; it takes memory for B^2 of them.

    Source: Park et al. 2019, "Relational knowledge distillation", section 3.2, with means as in their code.

    Args:
        pairs: see `FeatureTerm`; they use the layer before the logits, such as `{"pooled": "pooled"}`.
        distance: d, at least 0.
        angle: a, at least 0.

    Raises:
        ConfigError: when a weight is below 0, or both are 0.

    >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> Relational(angle=0).compare(corner, 7 * corner).round(decimals=4)
    tensor([0., 0., 0.])
    >>> Relational().compare(corner, torch.tensor([[0.0], [1.0], [2.0]])).sum() > 0
    tensor(True)
    """

    distance: Weight = 25.0
    angle: Weight = 50.0

    name = "relational"
    relates_examples = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.distance and not self.angle:
            raise ConfigError("Relational needs distance or angle above 0, got 0 for both.")

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the weighted losses of distances and angles per example."""
        own, theirs = student.flatten(1), teacher.flatten(1)
        loss = own.new_zeros(len(own))
        if self.distance:
            loss = loss + self.distance * _huber(distances(own), distances(theirs)).mean(1)
        if self.angle:
            loss = loss + self.angle * _huber(angles(own), angles(theirs)).mean((1, 2))
        return loss


def distances(points: Tensor) -> Tensor:
    """Return distances over their mean without those of 0, `[batch, batch]`, of points `[batch, features]`."""
    # not from products, which cancel for points that are near to each other
    squares = (points[:, None] - points).square().sum(2).clamp(min=_MIN_SQUARED_DISTANCE)
    found = squares.sqrt() * (1 - torch.eye(len(points), dtype=points.dtype, device=points.device))
    # all points may be the same, and then have no distance
    number = (found > 0).sum().clamp(min=1)
    return found / (found.sum() / number).clamp(min=_MIN_SQUARED_DISTANCE)


def angles(points: Tensor) -> Tensor:
    """Return the cosines of the angles at the first of three points, `[batch, batch, batch]`."""
    directions = F.normalize(points - points[:, None], dim=2)  # from the first to the second
    return directions @ directions.transpose(1, 2)


def _huber(found: Tensor, wanted: Tensor) -> Tensor:
    return F.smooth_l1_loss(found, wanted, reduction="none")
