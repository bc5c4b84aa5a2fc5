"""Agreement of a student with its teacher, whether their predictions are right or wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.analysis.scores import Scores


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return KL(teacher || student) in nats at T = 1, float64 `[examples]`, from logits `[examples, classes]`.

    0 log 0 is 0. The divergence is infinite if the student gives probability 0 to a class that the teacher does not.

    >>> divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])).tolist()
    [0.0]
    >>> divergence(torch.tensor([[1.0, -torch.inf]]), torch.tensor([[1.0, -torch.inf]])).tolist()
    [0.0]
    """
    # float64: near 0 the divergence is a difference of nearly equal numbers
    log_p, log_q = torch.log_softmax(teacher.double(), 1), torch.log_softmax(student.double(), 1)
    p = log_p.exp()
    # log_p - log_q is NaN where both are -inf, and times 0 it stays NaN
    return (p * (log_p - log_q)).masked_fill(p == 0, 0.0).sum(1)


def fidelity(student: Scores, teacher: Scores, divergences: Tensor) -> dict[str, float]:
    """Return agreement (share of examples with the same top class) and the mean KL(teacher || student) in nats.

    Source: Stanton et al. 2021, "Does knowledge distillation really work?", section 3.

    Args:
        student: scores of the student.
        teacher: scores of the teacher on the same examples.
        divergences: KL divergences that `divergence` returned.

    >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> scores = Scores.of(logits, torch.tensor([0, 1]))
    >>> fidelity(scores, scores, divergence(logits, logits))
    {'agreement': 1.0, 'kl_to_teacher': 0.0}
    """
    agreement = (student.answers == teacher.answers).double().mean()
    return {"agreement": float(agreement), "kl_to_teacher": float(divergences.mean())}
