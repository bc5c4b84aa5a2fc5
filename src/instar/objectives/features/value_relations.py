"""Value relations of encoders: how alike the values of two tokens are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.checks import Natural, checked
from instar.data.batch import Batch
from instar.objectives.features.sequences import SequenceTerm, find_divergence, find_visible, scores_of


@checked
@dataclass(frozen=True)
class ValueRelations(SequenceTerm):
    """l = sum over pairs (1/hN) sum over heads and i KL(R^T_i || R^S_i) with R_i = softmax over j of V_i V_j / sqrt(d).

    In nats per example. V are the values of a head at the N positions that are no padding, of width d = width / h.
    Where labels are at positions, each has the loss at its own (N = 1), and a word that at its first token; in language
    models, j is i or before it.
    Student and teacher may have other widths, because relations have none, and other numbers of heads in their
    attention. Both must read the same tokens, and inputs must have an `attention_mask`, except of language models.

    Source: Wang et al. 2020, "MiniLM", equations 3 to 6, with the values of the last layer alone, beside
    `Attentions(..., divergence=True)`. Layers of queries or keys in `pairs` give the relations of MiniLMv2 (Wang et
    al. 2021), whose h need not be the number of heads of either network.

    Args:
        pairs: layers that return values `[batch, position, width]` before they are split into heads, such as
            `{"encoder.layer.3.attention.self.value": "encoder.layer.11.attention.self.value"}`; see `FeatureTerm`.
        heads: number h of heads; it must divide both widths.

    >>> import torch
    >>> from dataclasses import replace
    >>> batch = replace(Batch.of_labels(torch.tensor([0])), attention_mask=torch.tensor([[True, True]]))
    >>> values = {"v": torch.tensor([[[1.0], [1.0]]])}
    >>> ValueRelations({"v": "v"}, heads=1).of_layers(values, {"v": 3 * values["v"]}, batch)
    tensor([0.])
    """

    heads: Natural = 0

    name = "value_relations"

    def compare_sequences(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Return the divergence of the relations of each position."""
        own, theirs = (scores_of(values, values, self.heads) for values in (student, teacher))
        return find_divergence(own, theirs, find_visible(batch))
