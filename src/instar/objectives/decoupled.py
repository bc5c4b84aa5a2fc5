"""Decoupled distillation: the probability of the label, and the distribution over the other classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.checks import Temperature, Weight, checked
from instar.data.batch import Batch
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.cross_entropy import floored
from instar.targets.targets import Targets


@checked
@dataclass(frozen=True)
class DecoupledKD(Term):
    """l = T^2 (alpha TCKD + beta NCKD): KL over (label, rest), and KL over the classes that are not the label (DKD).

        TCKD = KL([p_t, 1 - p_t] || [q_t, 1 - q_t])     t the label, p the teacher, q the student, softened by T
        NCKD = KL(p_hat || q_hat)                       p_hat_c = p_c / (1 - p_t) for c other than t; q_hat alike

    In nats per example. KL(p || q) = TCKD + (1 - p_t) NCKD, so ordinary distillation is alpha = 1 and beta = 1 - p_t,
    which is nearly 0 if the teacher is confident. Both parts are recorded, without T^2, as `target_divergence` and
    `other_divergence`. The loss of an unlabelled example is 0. If the teacher gives the other classes probability 0,
    p_hat is undefined, and NCKD is 0.

    Source: Zhao et al. 2022, "Decoupled knowledge distillation". Their code raises the weight of this term from 0 over
    the first 20 epochs; we leave that out, because a term knows only steps. They add `HardLabels()` with weight 1, and
    choose beta between 2 and 8 for each pair of networks.

    Args:
        alpha: weight of TCKD, at least 0.
        beta: weight of NCKD, at least 0.
        temperature: T, above 0.

    Raises:
        ConfigError: when a weight is below 0, or T is not above 0.

    >>> from instar.targets import DenseTargets
    >>> batch, teacher = Batch.of_labels(torch.tensor([0])), DenseTargets(torch.tensor([[0.6, 0.3, 0.1]]).log())
    >>> value = DecoupledKD(temperature=1)(torch.zeros(1, 3), batch, teacher)
    >>> [round(part.item(), 4) for part in (value.loss, *value.beside.values())]
    [1.1948, 0.1483, 0.1308]
    """

    alpha: Weight = 1.0
    beta: Weight = 8.0
    temperature: Temperature = 4.0

    needs = frozenset({Need.LABELS, Need.TEACHER})
    name = "decoupled"

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the weighted sum of both divergences times T^2 per example, and record each divergence."""
        assert targets is not None, "Objective.check refuses a run without a teacher"
        teacher = targets.log_probs(self.temperature).to(logits)
        unlabelled = batch.labels == UNLABELLED
        labels = batch.labels.clamp(min=0)  # any index that exists, because `gather` takes no -1
        # both are split at the true label, whatever the teacher predicts
        pairs = zip(_split(teacher, labels), _split(logits / self.temperature, labels), strict=True)
        target, other = (_divergence(p, q).masked_fill(unlabelled, 0.0) for p, q in pairs)
        loss = self.temperature**2 * (self.alpha * target + self.beta * other)
        return Value(loss, {"target_divergence": target.detach(), "other_divergence": other.detach()})


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of (label, rest), `[..., 2]`, and of the other classes alone, `[..., classes - 1]`."""
    label = labels[..., None]
    # the other classes by their indices: a mask of -inf would be multiplied by 0, which is NaN
    indices = torch.arange(logits.shape[-1] - 1, device=logits.device).expand(*labels.shape, -1)
    others = logits.gather(-1, indices + (indices >= label))  # the label's place is skipped
    # log(1 - p_t) as a sum over the others: of a confident teacher, 1 - p_t keeps no digits
    both = torch.cat([logits.gather(-1, label), others.logsumexp(-1, keepdim=True)], dim=-1)
    both = both.log_softmax(-1)
    # a user's teacher may give the other classes probability 0, and their log_softmax is then NaN
    return both, others.log_softmax(-1).masked_fill(both[..., 1:] == -torch.inf, -torch.inf)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    p = log_p.exp()
    # KL(p || q) as cross-entropy minus entropy: log p - log q is NaN for two infinite logarithms
    divergence: Tensor = -(p * floored(log_q)).sum(-1) - torch.special.entr(p).sum(-1)
    # rounding may leave it below 0 for equal distributions; a clamp would remove the gradient too
    return divergence - divergence.detach().clamp(max=0)
