"""Value relations of encoders: how alike the values of two tokens are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.checks import Natural, checked
from instar.objectives.features.sequences import SequenceTerm, mean_divergence, scores_of


@checked
@dataclass(frozen=True)
class ValueRelations(SequenceTerm):
    """l = sum over pairs (1/hN) sum over heads and i KL(R^T_i || R^S_i) with R_i = softmax over j of V_i V_j / sqrt(d).

    In nats per example. V are the values of a head at the N positions that are no padding, of width d = width / h.
    Student and teacher may have other widths, because relations have none, and other numbers of heads in their
    attention. Both must read the same tokens, and their inputs must have an `attention_mask`.

    Source: Wang et al. 2020, "MiniLM", equations 3 to 6, with the values of the last layer alone, beside
    `Attentions(..., divergence=True)`. Layers of queries or keys in `pairs` give the relations of MiniLMv2 (Wang et
    al. 2021), whose h need not be the number of heads of either network.

    Args:
        pairs: layers that return values `[batch, position, width]` before they are split into heads, such as
            `{"encoder.layer.3.attention.self.value": "encoder.layer.11.attention.self.value"}`; see `FeatureTerm`.
        heads: number h of heads; it must divide both widths.

    >>> import torch
    >>> values, mask = torch.tensor([[[1.0], [1.0]]]), torch.tensor([[True, True]])
    >>> term = ValueRelations(heads=1)
    >>> term.compare_sequences(values, 3 * values, mask), term.compare_sequences(values, values, mask)
    (tensor([0.]), tensor([0.]))
    """

    heads: Natural = 0

    name = "value_relations"

    def compare_sequences(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """Return the mean divergence of the relations of each example."""
        own, theirs = (scores_of(values, values, self.heads) for values in (student, teacher))
        return mean_divergence(own, theirs, mask)
