"""Attentions of encoders: which tokens a layer looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from instar.checks import Natural, checked
from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError
from instar.models.named_layers import LayerNames
from instar.objectives.features.pairing import pair_layers
from instar.objectives.features.sequences import (
    SequenceTerm,
    find_divergence,
    find_visible,
    losses_of_labels,
    refuse_other_positions,
    scores_of,
)


@checked
@dataclass(frozen=True)
class Attentions(SequenceTerm):
    """l = sum over pairs (1/hN^2) sum over heads, i and j (A^S_ij - A^T_ij)^2 with scores A = Q K^T / sqrt(d).

    Per example. Q and K are the queries and keys of one of h heads of width d, at the N positions i and j that are no
    padding. With `divergence`, l = sum over pairs (1/hN) sum over heads and i KL(softmax A^T_i || softmax A^S_i), in
    nats. Where labels are at positions, each has the loss at its own i (without 1/N for i), and a word that at its
    first token; in language models, j is i or before it. Both networks must have h heads and read the same tokens, and
    inputs must have an `attention_mask`, except of language models.

    Scores are made from the outputs of the layers of queries and keys. Positions that a network adds to them later, as
    rotary embeddings do, are not in them.

    Source: Jiao et al. 2020, "TinyBERT", equation 7, with scores before the softmax; Wang et al. 2020, "MiniLM",
    equation 2, with the divergence, for the last layer alone.

    Args:
        pairs: layers that return queries `[batch, position, width]`, such as
            `{"encoder.layer.0.attention.self.query": "encoder.layer.2.attention.self.query"}`; see `FeatureTerm`.
        keys: layers that return keys, in the same way and order.
        heads: number h of heads of both networks.
        divergence: compare probabilities in place of scores.

    Raises:
        ConfigError: when there are other numbers of queries and keys.

    >>> import torch
    >>> term = Attentions({"query": "query"}, keys={"key": "key"}, heads=1)
    >>> own = {"query": torch.ones(1, 2, 4), "key": torch.ones(1, 2, 4)}
    >>> batch = replace(Batch.of_labels(torch.tensor([0])), attention_mask=torch.tensor([[True, True]]))
    >>> term.of_layers(own, own, batch), term.of_layers(own, own | {"key": torch.zeros(1, 2, 4)}, batch)
    (tensor([0.]), tensor([4.]))
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    heads: Natural = 0
    divergence: bool = False

    name = "attentions"

    @property
    def layers(self) -> Mapping[str, str]:
        """Queries and then keys; empty until `resolve` has found stages."""
        return {} if isinstance(self.pairs, str) else {**self.pairs, **self.keys}

    def resolve(self, student: LayerNames, teacher: LayerNames) -> Self:
        """Return the term with each layer by name."""
        found = super().resolve(student, teacher)
        keys = pair_layers(f"{type(self).__name__}(keys)", self.keys, student, teacher) if self.keys else {}
        if twice := [name for name in found.pairs if name in keys]:
            raise MismatchError(
                f"Attentions takes '{twice[0]}' for queries and for keys; name a layer that returns queries alone, and "
                "one that returns keys."
            )
        return replace(found, keys=keys)

    def compare_all(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return the loss of each example: the sum over pairs of queries with their keys."""
        count = len(self.pairs)
        if count != len(self.keys):
            raise ConfigError(
                f"Attentions needs the layer of keys for each layer of queries, got {count} of queries and "
                f"{len(self.keys)} of keys."
            )
        losses = []
        for at, names in enumerate(list(self.layers.items())[:count]):
            with self.naming(*names):
                for layer in (at, at + count):
                    refuse_other_positions(student[layer], teacher[layer], batch)
                own, theirs = (scores_of(side[at], side[at + count], self.heads) for side in (student, teacher))
                losses.append(losses_of_labels(self._compare_scores(own, theirs, find_visible(batch)), batch))
        return torch.stack(losses).sum(0)

    def _compare_scores(self, student: Tensor, teacher: Tensor, visible: Tensor) -> Tensor:
        if self.divergence:
            return find_divergence(student, teacher, visible)
        squares = torch.where(visible[:, None], (student - teacher).square(), 0.0).mean(1)
        return squares.sum(2) / visible.sum(2).clamp(min=1)

    def compare_sequences(self, student: Tensor, teacher: Tensor, batch: Batch) -> Tensor:
        """Refuse a single layer, which has no scores."""
        raise NotImplementedError
