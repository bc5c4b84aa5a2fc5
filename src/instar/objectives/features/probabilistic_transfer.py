"""Probabilities that one example is the neighbour of another, as a layer of the teacher sees them."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from instar.objectives.features.feature_term import FeatureTerm

_MIN_KERNEL = 1e-7
"""Added to each kernel value, so that no probability is 0."""


@dataclass(frozen=True)
class ProbabilisticTransfer(FeatureTerm):
    """l_n = sum over pairs (1/B) sum over m of p_m|n log(p_m|n / q_m|n), with p_m|n = K_nm / sum over k of K_nk (PKT).

    In nats per example n of a batch of B. The kernel is K_nm = (cos(A_n, A_m) + 1) / 2, where A is the flattened output
    of a layer, `[batch, features]`: p of the teacher and q of the student may have layers of any shapes. The factor 1/B
    is that of the authors' code, in which the weight is 30000; they add 1e-7 to p and q in place of K.

    Source: Passalis and Tefas 2018, "Learning deep representations with probabilistic knowledge transfer", equations 4
    to 8.

    Args:
        pairs: see `FeatureTerm`.

    >>> import torch
    >>> ProbabilisticTransfer().compare(torch.eye(2), torch.ones(2, 3)).round(decimals=4)
    tensor([0.0294, 0.0294])
    """

    name = "probabilistic_transfer"
    relates_examples = True

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the divergence of each row of probabilities, divided by the size of the batch."""
        p, q = neighbours(teacher), neighbours(student)
        divergence = (p * (p.log() - q.log())).mean(1)
        # rounding may leave it below 0 for equal distributions; a clamp would remove the gradient too
        return divergence - divergence.detach().clamp(max=0)


def neighbours(layer: Tensor) -> Tensor:
    """Return probabilities of each row, `[batch, batch]`."""
    directions = F.normalize(layer.flatten(1), dim=1)
    # the cosine of equal vectors may be rounded beyond -1
    kernel = ((directions @ directions.t() + 1) / 2).clamp(min=0) + _MIN_KERNEL
    return kernel / kernel.sum(1, keepdim=True)
