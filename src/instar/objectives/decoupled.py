"""Decoupled distillation: the probability of the label, and the distribution over the other classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.checks import Temperature, Weight, checked
from instar.data.loader import Batch
from instar.objectives.objective import Need, Term, Value
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
        labels = batch.labels.clamp(min=0)
        pairs = zip(_split(teacher, labels), _split(logits / self.temperature, labels), strict=True)
        target, other = (_divergence(p, q).masked_fill(unlabelled, 0.0) for p, q in pairs)
        loss = self.temperature**2 * (self.alpha * target + self.beta * other)
        return Value(loss, {"target_divergence": target.detach(), "other_divergence": other.detach()})


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of (label, rest), `[..., 2]`, and of the other classes alone, `[..., classes - 1]`."""
    label = labels[..., None]
    # the others by their numbers rather than by a mask of -inf, whose products with 0 are NaN
    numbers = torch.arange(logits.shape[-1] - 1, device=logits.device).expand(*labels.shape, -1)
    others = logits.gather(-1, numbers + (numbers >= label))
    both = torch.cat([logits.gather(-1, label), others.logsumexp(-1, keepdim=True)], dim=-1)
    both = both.log_softmax(-1)
    # NaN where the others have nothing to share out: a teacher of the user's may give them nothing at all
    return both, others.log_softmax(-1).masked_fill(both[..., 1:] == -torch.inf, -torch.inf)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return KL(p || q) per example, at least 0."""
    p = log_p.exp()
    divergence: Tensor = -(p * floored(log_q)).sum(-1) - torch.special.entr(p).sum(-1)
    # rounding may leave a difference of equals below 0; a clamp would take its gradient too
    return divergence - divergence.detach().clamp(max=0)
