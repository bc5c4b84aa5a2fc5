"""Terms of encoders and language models: their layers return sequences, of which padding does not count."""

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
    """A term of layers that return `[batch, position, width]`, for student and teacher that read the same tokens.

    Its loss of a sample is the mean over positions that are no padding. Where labels are at positions, it has a loss
    for each label: that at its position, and of a word, that at its first token.
    """

    def compares_positions(self, batch: Batch) -> bool:
        """Return True."""
        return True

    def compare_all(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return the loss of each example: the sum over pairs of layers."""
        losses = []
        for own, theirs, names in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(*names):
                refuse_other_positions(own, theirs, batch)
                losses.append(losses_of_labels(self.compare_sequences(own, theirs, batch), batch))
        return torch.stack(losses).sum(0)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Refuse layers without their batch."""
        raise NotImplementedError

    @abstractmethod
    def compare_sequences(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return the loss at each position, `[batch, position]`, for a pair of layers.

        Args:
            student: output of the student's layer, `[batch, position, width]`.
            teacher: output of the teacher's layer, `[batch, position, width]`.
            batch: the samples, with what is known of their positions.
        """


def refuse_other_positions(student: Tensor, teacher: Tensor, batch: Batch) -> None:
    """Refuse layers that return no sequences, or sequences of other positions than the inputs.

    Raises:
        MismatchError: names both shapes.
    """
    shapes, mask = [list(layer.shape[1:]) for layer in (student, teacher)], batch.attention_mask
    if any(len(shape) != 2 for shape in shapes):
        raise MismatchError(f"it needs sequences [position, width], got {shapes[0]} and {shapes[1]}")
    if mask is None and batch.labels.dim() == 1:
        raise MismatchError(
            "the inputs have no attention_mask, so padding cannot be told; for networks without padding, use Hints"
        )
    # without padding to tell, labels have the positions of the inputs
    known, what = (batch.labels, "labels") if mask is None else (mask, "inputs")
    if shapes[0][0] != shapes[1][0] or shapes[0][0] != known.shape[1]:
        raise MismatchError(f"they have {shapes[0][0]} and {shapes[1][0]} positions, the {what} {known.shape[1]}")


def losses_of_labels(losses: Tensor, batch: Batch) -> Tensor:
    """Return losses in the shape of the labels, of those at each position, `[batch, position]`.

    A sample with one label has the mean over positions that are no padding; a word has the loss at its first token.

    Raises:
        MismatchError: when labels are at other positions than the losses.
    """
    if batch.labels.dim() == 1:
        assert batch.attention_mask is not None, "layers of samples without a mask are refused"
        return mean_over_positions(losses, batch.attention_mask)
    if batch.word_starts is not None:
        return losses.gather(1, batch.word_starts)
    if losses.shape != batch.labels.shape:
        raise MismatchError(f"they have {losses.shape[1]} positions, and the labels {batch.labels.shape[1]}")
    return losses


def find_visible(batch: Batch) -> Tensor:
    """Return which positions each position looks at, bool `[batch, 1 or position, position]`.

    It looks at all that are no padding; in a language model, at itself and those before it in the same text.

    Raises:
        MismatchError: when padding cannot be told.
    """
    mask, positions = batch.attention_mask, batch.position_ids
    if batch.origin is None or not batch.origin.samples.source.task.is_causal:
        if mask is None:
            raise MismatchError("the inputs have no attention_mask, so padding cannot be told; compare HiddenStates")
        return mask[:, None]
    # padding stands behind all tokens of a text, which never look at it
    length = batch.labels.shape[1]
    visible = torch.ones(length, length, dtype=torch.bool, device=batch.labels.device).tril()[None]
    if positions is not None:
        texts = (positions == 0).cumsum(1)
        visible = visible & (texts[:, :, None] == texts[:, None])
    return visible if mask is None else visible & mask[:, None]


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


def find_divergence(student: Tensor, teacher: Tensor, visible: Tensor) -> Tensor:
    """Return KL(softmax of the teacher's scores || that of the student's), `[batch, position]`, averaged over heads.

    It is summed over the positions that each position looks at.

    Args:
        student: scores `[batch, head, position, position]`.
        teacher: scores of the teacher.
        visible: see `find_visible`.
    """
    # a large number and not -inf, because 0 times the difference of two infinities is NaN
    lowest = torch.finfo(student.dtype).min / 4
    log_q, log_p = (scores.masked_fill(~visible[:, None], lowest).log_softmax(-1) for scores in (student, teacher))
    divergences = (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)  # rounding may leave them slightly below 0
    return divergences.mean(1)
