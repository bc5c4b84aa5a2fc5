"""How closely a student follows its teacher, right or wrong."""

from __future__ import annotations

import torch
from torch import Tensor


def fidelity(student: Tensor, teacher: Tensor) -> dict[str, float]:
    """Return agreement (share of samples with the same top class) and mean KL(teacher || student) in nats at T = 1.

    Source: Stanton et al. 2021, "Does knowledge distillation really work?", section 3.

    Args:
        student: logits, `[samples, classes]`.
        teacher: logits, `[samples, classes]`.

    >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> fidelity(logits, logits)
    {'agreement': 1.0, 'kl_to_teacher': 0.0}
    """
    log_p, log_q = torch.log_softmax(teacher.double(), 1), torch.log_softmax(student.double(), 1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(1).mean()
    agreement = (student.argmax(1) == teacher.argmax(1)).double().mean()
    return {"agreement": float(agreement), "kl_to_teacher": float(divergence)}
