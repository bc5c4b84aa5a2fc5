"""Labels weighted by the teacher's confidence: distillation without dark knowledge."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.batch import Batch
from instar.objectives.aims import Aim
from instar.objectives.hard_labels import HardLabels
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets


@dataclass(frozen=True)
class ConfidenceWeighted(Term):
    """L = sum_s (w_s / sum_u w_u) (-log q_s[label]) with w_s = max_c p_sc, the teacher's largest probability (CWTM).

    In nats, at temperature 1. The sums are over the labelled examples of a whole batch, however it is split, so the
    weights sum to 1 per batch, and equal weights give the plain cross-entropy. w_s is the largest probability even if
    the teacher is wrong; its mean is recorded as `teacher_confidence`. The loss of an unlabelled example is 0.

    Source: Furlanello et al. 2018, "Dark knowledge under the light".

    >>> import torch
    >>> from instar.targets import DenseTargets
    >>> logits, teacher = torch.zeros(2, 2), DenseTargets(torch.tensor([[0.0, 0.0], [9.0, 0.0]]))
    >>> batch = Batch.of_labels(torch.tensor([0, 1]))
    >>> ConfidenceWeighted().weights(batch, teacher)
    tensor([0.5000, 0.9999])
    >>> (1.0 * ConfidenceWeighted())(logits, batch, teacher)[0] / len(batch)
    tensor(0.6931)
    """

    needs = frozenset({Need.LABELS, Need.TEACHER})
    name = "confidence_weighted"
    weighs_examples = True

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the unweighted cross-entropy per example, and record the teacher's confidence."""
        labels = batch.labels
        # -log q[label], [examples]; the objective multiplies by w_s / mean w, which it alone knows for a whole batch
        flat = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=UNLABELLED, reduction="none")
        return Value(flat.view(labels.shape), {"teacher_confidence": _confidence(targets).to(logits)})

    def weights(self, batch: Batch, targets: Targets | None) -> Tensor:
        """Return the teacher's largest probability; 0 for unlabelled examples."""
        # an unlabelled example has no loss, and its weight would only reduce those of the others
        return _confidence(targets).masked_fill(batch.labels == UNLABELLED, 0.0)

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the labels as probabilities, which `weights` weighs."""
        return HardLabels().aim(batch, targets, classes)


def _confidence(targets: Targets | None) -> Tensor:
    assert targets is not None, "Objective.check refuses a run without a teacher"
    return targets.confidence()
