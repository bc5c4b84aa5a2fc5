"""What terms need, compute and compare, and how the values of examples are summed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs
from instar.compute.packed import PACKED_INPUTS
from instar.compute.precision import to_loss_dtype
from instar.data.batch import Batch
from instar.models.readers.encoded import WORD_STARTS, find_attention_mask


class Need(Enum):
    """Something that a term needs from a run."""

    LABELS = "labels"
    TEACHER = "a teacher"
    ATTENTION_MASK = "inputs with a mask of their padding"


@dataclass(frozen=True, eq=False)
class Value:
    """The value of a term.

    Args:
        loss: loss of each example, `[batch]` or `[batch, position]`.
        beside: further values of the same shape that are recorded by name, but not minimised.
    """

    loss: Tensor
    beside: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Hidden:
    """What the layers that terms compare return for the examples of a batch.

    Args:
        student: outputs of layers of the student by name, `[batch, ...]`, with their graph.
        teacher: outputs of layers of the teacher by name, `[batch, ...]`, without gradients.
        adapters: what terms own, by the name of the term.
        attention_mask: which positions of the student's inputs are no padding, `[batch, position]`; None: unknown.
        word_starts: see `Batch`.
        position_ids: see `Batch`.
    """

    student: Mapping[str, Tensor]
    teacher: Mapping[str, Tensor]
    adapters: Mapping[str, Any] = field(default_factory=dict)
    attention_mask: Tensor | None = None
    word_starts: Tensor | None = None
    position_ids: Tensor | None = None

    @classmethod
    def of(
        cls, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], adapters: nn.ModuleDict, inputs: Inputs
    ) -> Hidden:
        """Return the layers of examples, with what the student's inputs tell of their positions."""
        named = inputs if isinstance(inputs, Mapping) else {}
        found = [named.get(name) for name in (WORD_STARTS, PACKED_INPUTS[1])]
        # torch's dictionary of modules is no mapping
        return cls(student, teacher, dict(adapters.items()), find_attention_mask(inputs), *found)

    def describe_positions(self, batch: Batch) -> Batch:
        """Return the batch with what terms of hidden layers read of the positions of its inputs."""
        return replace(
            batch,
            attention_mask=batch.attention_mask if self.attention_mask is None else self.attention_mask,
            word_starts=self.word_starts,
            position_ids=self.position_ids,
        )


def in_loss_dtype(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return outputs of layers by name in the dtype of the loss."""
    return {name: to_loss_dtype(feature) for name, feature in features.items()}


def total_weights(weights: Tensor | None, batch: Batch) -> Tensor:
    """Return the sum of the weights of examples, and the number of those above 0, `[2]`; zeros without weights."""
    if weights is None:
        return torch.zeros(2, device=batch.labels.device)
    samples = 1.0 if batch.weights is None else batch.weights.to(weights)
    # without the examples of weight 0, such as those without a label: they are in no mean
    return torch.stack([(weights * samples).sum(), ((weights > 0) * samples).sum().to(weights)])


def masked_sum(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return the sum over valid examples."""
    # where, not a product: an invalid position may have any value, and 0 * inf is NaN
    return (values if mask is None else torch.where(mask, values, 0.0)).sum()
