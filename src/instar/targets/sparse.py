"""Targets of a few classes: the largest probabilities with one bucket for the rest, or classes drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor

from instar.errors import MismatchError
from instar.targets.cross_entropy import sparse_cross_entropy
from instar.targets.targets import Index, Targets, by_example, like, refuse_other_temperature


@dataclass(frozen=True, eq=False)
class SparseTargets(Targets):
    """What a teacher says of k classes S, and of all others together, at one temperature T.

    The loss of a student q = softmax(z / T) is

        H = -sum_{i in S} p_i log q_i - r log sum_{c not in S} q_c        r: the mass of the rest, in one bucket

    so H - H(p, r) is the KL divergence between teacher and student that are both told the k classes and "another"
    apart: at most the KL over all classes, equal to it for k = C, and never negative. A bucket says nothing about
    which of its classes is likely. Classes drawn at random with replacement have p_i = 1/k and no bucket, and make H an
    unbiased estimate of the cross-entropy with all classes, and its gradient one of the gradient.

    Source: sampling is Random Sampling KD (2503.16870).

    Args:
        ids: of the classes, int64 `[..., k]`; a class may stand more than once where classes were drawn.
        kept: p_i, float `[..., k]`, largest first where they are the largest, and r behind them where there is a
            bucket; they sum to 1.
        entropy: of (p, r), or where classes were drawn, of all classes, in nats, float `[...]`.
        num_classes: C.
        temperature: T.

    Raises:
        MismatchError: when they are asked for at another temperature, or for all classes.

    >>> targets = SparseTargets(torch.tensor([[1]]), torch.tensor([[0.5, 0.5]]), torch.tensor([0.6931]), 4, 1.0)
    >>> [round(float(value), 4) for value in targets.cross_entropy(torch.zeros(1, 4), 1.0)]
    [0.837, 0.6931]
    >>> targets.log_probs(1.0)
    Traceback (most recent call last):
    instar.errors.MismatchError: these targets hold 1 of 4 classes, and all are asked for; keep all in the store.
    """

    ids: Tensor
    kept: Tensor
    entropy: Tensor
    num_classes: int = 0  # a dataclass takes the property of the base class for a default
    temperature: float = 1.0

    @property
    def rest(self) -> Tensor | None:
        """The mass of the classes that are not kept, `[...]`; none where classes were drawn."""
        return None if self.is_estimate else self.kept[..., -1]

    @property
    def is_estimate(self) -> bool:
        """Whether classes were drawn."""
        return self.kept.shape[-1] == self.ids.shape[-1]

    def log_probs(self, temperature: float) -> NoReturn:
        """Refuse."""
        held = f"{self.ids.shape[-1]} {'draws from' if self.is_estimate else 'of'} {self.num_classes} classes"
        raise MismatchError(f"these targets hold {held}, and all are asked for; keep all in the store.")

    def logits(self) -> NoReturn:
        """Refuse."""
        self.log_probs(1.0)

    def cross_entropy(self, logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return H and the entropy of the teacher, `[...]` each; of all classes nothing is made but the gradient."""
        refuse_other_temperature(self.temperature, temperature)
        kept, entropy = self.kept.to(logits), self.entropy.to(logits)
        z, ids, p = by_example(logits), by_example(self.ids), by_example(kept)
        return like(entropy, sparse_cross_entropy(z, ids, p, temperature)), entropy

    def confidence(self) -> Tensor:
        """Return the largest probability at temperature 1."""
        refuse_other_temperature(self.temperature, 1.0)
        if self.is_estimate:
            self.log_probs(1.0)
        return self.kept[..., 0]

    def flat(self) -> SparseTargets:
        """Return them as `[examples, ...]`."""
        return replace(self, ids=by_example(self.ids), kept=by_example(self.kept), entropy=self.entropy.flatten())

    def rows(self, index: Index) -> SparseTargets:
        """Return the targets of the examples at `index`."""
        return replace(self, ids=self.ids[index], kept=self.kept[index], entropy=self.entropy[index])

    def part(self, start: int, stop: int) -> SparseTargets:
        """Return the targets of the examples from `start` to `stop`."""
        ids, kept, entropy = self.ids[start:stop], self.kept[start:stop], self.entropy[start:stop]
        return SparseTargets(ids, kept, entropy, self.num_classes, self.temperature)

    def joined(self, others: Sequence[Targets]) -> SparseTargets:
        """Return these targets with those of `others` behind them."""
        sparse = [self, *(other for other in others if isinstance(other, SparseTargets))]
        assert len(sparse) == 1 + len(others), "joined targets must come from one teacher"
        return replace(
            self,
            ids=torch.cat([targets.ids for targets in sparse]),
            kept=torch.cat([targets.kept for targets in sparse]),
            entropy=torch.cat([targets.entropy for targets in sparse]),
        )
