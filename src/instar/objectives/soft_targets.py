"""Cross-entropy with the teacher's softened probabilities: distillation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.checks import Temperature, checked
from instar.data.loader import Batch
from instar.objectives.objective import Need, Term, Value
from instar.targets.targets import Targets


@checked
@dataclass(frozen=True)
class SoftTargets(Term):
    """l = -T^2 sum_c p_c^T log q_c^T with p^T the teacher's and q^T = softmax(z / T) the student's probabilities.

    In nats, per example: summed over classes, never divided by their number. T^2 belongs to this term on every path:
    the gradient is T (q^T - p^T), so the balance with other terms stays when T is changed. What is minimised is the
    cross-entropy; KL(p^T || q^T), without T^2 so that runs at different T compare, is recorded as `kl_to_teacher`. Both
    have the same gradient up to T^2, because the entropy of the teacher is a constant.

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
        """Return T^2 times the cross-entropy per example, and the KL divergence beside it."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        cross_entropy, entropy = targets.cross_entropy(logits, self.temperature)
        divergence = cross_entropy.detach() - entropy
        if not targets.is_estimate:  # rounding may leave a difference of equals below 0
            divergence = divergence.clamp(min=0)
        return Value(self.temperature**2 * cross_entropy, {"kl_to_teacher": divergence})
