"""Terms of encoders: their layers return sequences, of which only the positions that are no padding count."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instar.data.batch import Batch
from instar.errors import MismatchError
from instar.objectives.features.feature_term import FeatureTerm


@dataclass(frozen=True)
class SequenceTerm(FeatureTerm):
    """A term of layers that return `[batch, position, width]`, for student and teacher that read the same tokens."""

    compares_positions = True

    def compare_all(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return the loss of each example: the sum over pairs of layers."""
        losses = []
        for own, theirs, names in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(*names):
                refuse_other_positions(own, theirs, batch.attention_mask)
                assert batch.attention_mask is not None, "refused above"
                losses.append(self.compare_sequences(own, theirs, batch.attention_mask))
        return torch.stack(losses).sum(0)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Refuse layers without a mask of their padding."""
        raise NotImplementedError

    @abstractmethod
    def compare_sequences(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of each example, `[batch]`, for a pair of layers.

        Args:
            student: output of the student's layer, `[batch, position, width]`.
            teacher: output of the teacher's layer, `[batch, position, width]`.
            mask: positions that are no padding, bool `[batch, position]`.
        """


def refuse_other_positions(student: Tensor, teacher: Tensor, mask: Tensor | None) -> None:
    """Refuse layers that return no sequences, or sequences of other positions than the inputs.

    Raises:
        MismatchError: names both shapes.
    """
    shapes = [list(layer.shape[1:]) for layer in (student, teacher)]
    if any(len(shape) != 2 for shape in shapes):
        raise MismatchError(f"it needs sequences [position, width], got {shapes[0]} and {shapes[1]}")
    if mask is None:
        raise MismatchError(
            "the inputs have no attention_mask, so padding cannot be told; for networks without padding, use Hints"
        )
    if shapes[0][0] != shapes[1][0] or shapes[0][0] != mask.shape[1]:
        raise MismatchError(f"they have {shapes[0][0]} and {shapes[1][0]} positions, the inputs {mask.shape[1]}")


def mean_over_positions(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over valid positions, `[batch]`, of values `[batch, position]`; 0 for a sample without any.

    >>> mean_over_positions(torch.tensor([[1.0, 3.0, torch.inf]]), torch.tensor([[True, True, False]]))
    tensor([2.])
    """
    # where, not a product: padding may have any value, and 0 * inf is NaN
    return torch.where(mask, values, 0.0).sum(1) / mask.sum(1).clamp(min=1)


def scores_of(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    """Return Q K^T / sqrt(d) of each head, `[batch, head, position, position]`, of layers `[batch, position, width]`.

    Raises:
        MismatchError: when the width is no multiple of the number of heads, or both widths differ.
    """
    width = queries.shape[-1]
    if heads < 1 or width % heads:
        raise MismatchError(f"their width of {width} cannot be shared by heads={heads}; give the number of heads")
    if keys.shape[-1] != width:
        raise MismatchError(f"queries have a width of {width}, and keys one of {keys.shape[-1]}")
    split = [layer.unflatten(-1, (heads, width // heads)).transpose(1, 2) for layer in (queries, keys)]
    scores: Tensor = split[0] @ split[1].transpose(2, 3) / math.sqrt(width // heads)
    return scores


def mean_divergence(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Return KL(softmax of the teacher's scores || that of the student's), `[batch]`, over valid positions.

    It is summed over the positions that are looked at, and averaged over heads and over those that look.

    Args:
        student: scores `[batch, head, position, position]`.
        teacher: scores of the teacher.
        mask: positions that are no padding, bool `[batch, position]`.
    """
    # a large number and not -inf, because 0 times the difference of two infinities is NaN
    lowest = torch.finfo(student.dtype).min / 4
    log_q, log_p = (scores.masked_fill(~mask[:, None, None], lowest).log_softmax(-1) for scores in (student, teacher))
    divergences = (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)  # rounding may leave them slightly below 0
    return mean_over_positions(divergences.mean(1), mask)
