"""What is known of examples once their logits were looked at: a few numbers each, however many classes there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

UNLABELLED = -1
"""The label of a sample that has none."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Answers about some examples, `[examples]` each.

    Args:
        labels: int64, `UNLABELLED` where there is none.
        answers: the likeliest class, int64.
        next_answers: the one after it.
        confidence: max_c p_c, float64.
        nll: -log p_label in nats, float32; NaN where there is no label.
    """

    labels: Tensor
    answers: Tensor
    next_answers: Tensor
    confidence: Tensor
    nll: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Scores:
        """Look at logits `[examples, classes]`.

        >>> scores = Scores.of(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([1, 0]))
        >>> scores.wrong.tolist(), [round(value, 2) for value in scores.nll.tolist()]
        ([False, True], [0.0, 9.0])
        """
        largest, answers = logits.max(1, keepdim=True)
        both = logits.topk(min(2, logits.shape[1]), 1).indices
        next_answers = torch.where(both[:, :1] == answers, both[:, -1:], both[:, :1])
        # from the largest down, so that what is nearly 0 keeps its digits; one pass over all classes
        spread = (logits - largest).exp_().sum(1, keepdim=True)
        nll = spread.log() - (logits.gather(1, labels.clamp(min=0)[:, None]) - largest)
        known = labels != UNLABELLED
        return cls(
            labels, answers[:, 0], next_answers[:, 0], 1 / spread[:, 0].double(), nll[:, 0].where(known, torch.nan)
        )

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Return the scores of several sets of examples, one after another, on the CPU."""
        # one transfer each, because each makes an accelerator wait
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]).cpu() for field in fields(cls)))

    @property
    def wrong(self) -> Tensor:
        """Whether the answer is not the label, bool."""
        return self.answers != self.labels

    def at(self, index: Tensor | slice) -> Scores:
        """Return those of the examples at `index` (indices, a mask or a stretch)."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    def known(self) -> Scores:
        """Return those of the labelled examples."""
        return self.at(self.labels != UNLABELLED)
