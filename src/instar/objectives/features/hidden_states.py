"""Hidden states of encoders: what a layer knows of each token."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from instar.checks import checked
from instar.data.batch import Batch
from instar.errors import MismatchError
from instar.objectives.features.feature_term import refuse_other_shapes
from instar.objectives.features.sequences import SequenceTerm


@checked
@dataclass(frozen=True)
class HiddenStates(SequenceTerm):
    """l = sum over pairs (1/N) sum over i (1/D) || W S_i - T_i ||^2 with the outputs S of student and T of teacher.

    Per example. i is one of the N positions that are no padding, and D the teacher's width. Where labels are at
    positions, each has the loss at its own (N = 1), and a word that at its first token. W is a linear layer without
    bias that the term owns for each pair and the run trains with the student; it is never a part of the student. Both
    networks must read the same tokens, and their inputs must have an `attention_mask` or labels at each position.

    Source: Jiao et al. 2020, "TinyBERT", equation 8, who share one W among all layers and have a mean over padding too.
    With every second layer, `{"encoder.layer.0": "encoder.layer.1", ...}`.

    Args:
        pairs: layers that return `[batch, position, width]`; see `FeatureTerm`.
        projection: False: W is the identity, and layers must have equal widths.

    >>> import torch
    >>> from dataclasses import replace
    >>> batch = replace(Batch.of_labels(torch.tensor([0])), attention_mask=torch.tensor([[True, True, False]]))
    >>> states = {"a": torch.tensor([[[2.0], [4.0], [9.0]]])}
    >>> HiddenStates({"a": "a"}, projection=False).of_layers(states, {"a": torch.zeros(1, 3, 1)}, batch)
    tensor([10.])
    """

    projection: bool = True

    name = "hidden_states"

    def make_adapter(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module | None:
        """Return the linear layer."""
        if not self.projection:
            return None
        if len(student) != 2 or len(teacher) != 2:
            raise MismatchError(f"it needs sequences [position, width], got {list(student)} and {list(teacher)}")
        return nn.Linear(student[1], teacher[1], bias=False)

    def compare_sequences(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared difference at each position."""
        refuse_other_shapes(student, teacher)
        return (student - teacher).square().mean(2)
