"""Scores of examples: a few numbers per example in place of the logits of all classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

UNLABELLED = -1
"""Label of an unlabelled sample."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of some examples, `[examples]` each.

    Args:
        labels: int64, `UNLABELLED` for unlabelled examples.
        answers: predicted (most probable) class, int64.
        next_answers: second most probable class, int64.
        confidence: max_c p_c, float64.
        nll: -log p_label in nats, float32; NaN for unlabelled examples.
    """

    labels: Tensor
    answers: Tensor
    next_answers: Tensor
    confidence: Tensor
    nll: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Scores:
        """Compute the scores of logits `[examples, classes]`.

        >>> scores = Scores.of(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), torch.tensor([1, 0]))
        >>> scores.wrong.tolist(), [round(value, 2) for value in scores.nll.tolist()]
        ([False, True], [0.0, 9.0])
        """
        known = labels != UNLABELLED
        if logits.shape[1] == 1:  # a number, or a single class: there is nothing to choose; NaN stays NaN
            zeros = logits[:, 0] - logits[:, 0]
            first = torch.zeros_like(labels)
            return cls(labels, first, first, 1 + zeros.double(), zeros.where(known, torch.nan))
        largest, answers = logits.max(1, keepdim=True)
        both = logits.topk(min(2, logits.shape[1]), 1).indices
        # topk and max may order equal logits differently, so the second class is the one that is not the answer
        next_answers = torch.where(both[:, :1] == answers, both[:, -1:], both[:, :1])
        # relative to the largest logit, so that an NLL near 0 keeps its digits; one pass over all classes
        spread = (logits - largest).exp_().sum(1, keepdim=True)  # 1 / max_c p_c
        # gather needs a valid class for unlabelled examples too; their NLL becomes NaN below
        nll = spread.log() - (logits.gather(1, labels.clamp(min=0)[:, None]) - largest)
        return cls(
            labels, answers[:, 0], next_answers[:, 0], 1 / spread[:, 0].double(), nll[:, 0].where(known, torch.nan)
        )

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Concatenate the scores of several sets of examples on the CPU."""
        # one transfer each, because each makes an accelerator wait
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]).cpu() for field in fields(cls)))

    @property
    def wrong(self) -> Tensor:
        """Whether the predicted class is not the label, bool."""
        return self.answers != self.labels

    def at(self, index: Tensor | slice) -> Scores:
        """Return the scores of the examples at `index` (indices, a mask or a slice)."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    def known(self) -> Scores:
        """Return the scores of the labelled examples."""
        return self.at(self.labels != UNLABELLED)
