"""Cross-entropy with the teacher's softened probabilities, the distillation loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import Temperature, checked
from instar.data.batch import Batch
from instar.objectives.aims import Aim
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets


@checked
@dataclass(frozen=True)
class SoftTargets(Term):
    """l = -T^2 sum_c p_c^T log q_c^T with p^T the teacher's and q^T = softmax(z / T) the student's probabilities.

    In nats per example: a sum over classes, never a mean. This term always contains the factor T^2: its gradient is
    T (q^T - p^T), so the balance with other terms does not depend on T. The term minimises the cross-entropy, and
    records KL(p^T || q^T) as `kl_to_teacher`, without T^2 so that runs at different T are comparable. Both have the
    same gradient up to T^2, because the entropy of the teacher is constant.

    Source: Hinton et al. 2015, section 2, equations 1 and 2.

    Args:
        temperature: T, above 0.

    Raises:
        ConfigError: when T is not above 0.

    >>> import torch
    >>> from instar.targets import DenseTargets
    >>> teacher = DenseTargets(torch.tensor([[2.0, 0.0]]))
    >>> value = SoftTargets(2)(torch.tensor([[2.0, 0.0]]), Batch.of_labels(torch.tensor([0])), teacher)
    >>> round(value.loss.item(), 4), round(value.beside["kl_to_teacher"].item(), 4)
    (2.3288, 0.0)
    """

    temperature: Temperature = 1.0

    needs = frozenset({Need.TEACHER})
    name = "soft_targets"

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return T^2 times the cross-entropy per example, and record the KL divergence."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        cross_entropy, entropy = targets.cross_entropy(logits, self.temperature)
        divergence = cross_entropy.detach() - entropy
        # rounding may leave it slightly below 0; an estimate may be below 0 itself, and a clamp would bias its mean
        if not targets.is_estimate:
            divergence = divergence.clamp(min=0)
        # T^2, because the gradient of the cross-entropy scales as 1/T^2 (section 2)
        return Value(self.temperature**2 * cross_entropy, {"kl_to_teacher": divergence})

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return p^T of the teacher."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        probabilities = targets.softened(self.temperature)[0]
        weights = torch.full((len(batch),), self.temperature**2, dtype=torch.float64)
        return Aim(probabilities, self.temperature, weights)
