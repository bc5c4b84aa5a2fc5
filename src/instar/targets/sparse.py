"""Sparse targets: the largest probabilities and one bucket for the rest, or classes drawn at random."""

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
    """A teacher's probabilities of k classes S, and of all others together, at one temperature T.

    The loss of a student q = softmax(z / T) is

        H = -sum_{i in S} p_i log q_i - r log sum_{c not in S} q_c        r: the mass of the rest, in one bucket

    so H - H(p, r) is the KL divergence over the k classes and the bucket: never negative, at most the KL over all
    classes, and equal to it for k = C. The bucket does not tell which of its classes is likely. Classes drawn at random
    with replacement have p_i = 1/k and no bucket. H and its gradient are then unbiased estimates of the cross-entropy
    over all classes and of its gradient.

    Source: for drawn classes, Random Sampling KD (2503.16870).

    Args:
        ids: class numbers, int64 `[..., k]`; drawn classes may repeat.
        kept: probabilities that sum to 1: the k largest in descending order, then r, float `[..., k + 1]`; or 1/k of
            each drawn class, `[..., k]`.
        entropy: entropy in nats, float `[...]`: of (p, r), or of all classes if classes were drawn.
        num_classes: number of classes C.
        temperature: temperature T.

    Raises:
        MismatchError: when a term reads them at another temperature, or needs all classes.

    >>> targets = SparseTargets(torch.tensor([[1]]), torch.tensor([[0.5, 0.5]]), torch.tensor([0.6931]), 4, 1.0)
    >>> [round(float(value), 4) for value in targets.cross_entropy(torch.zeros(1, 4), 1.0)]
    [0.837, 0.6931]
    >>> targets.log_probs(1.0)
    Traceback (most recent call last):
    instar.errors.MismatchError: these targets have 1 of 4 classes, but the objective needs all; store all (keep=all).
    """

    ids: Tensor
    kept: Tensor
    entropy: Tensor
    num_classes: int = 0  # without a default, a dataclass would use the property of the base class
    temperature: float = 1.0

    @property
    def rest(self) -> Tensor | None:
        """Probability of all other classes together, `[...]`; None if classes were drawn."""
        return None if self.is_estimate else self.kept[..., -1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the examples."""
        return self.ids.shape[:-1]

    @property
    def is_estimate(self) -> bool:
        """Whether classes were drawn at random."""
        return self.kept.shape[-1] == self.ids.shape[-1]

    def log_probs(self, temperature: float) -> NoReturn:
        """Raise MismatchError, because probabilities of most classes are missing."""
        held = f"{self.ids.shape[-1]} {'draws from' if self.is_estimate else 'of'} {self.num_classes} classes"
        raise MismatchError(f"these targets have {held}, but the objective needs all; store all (keep=all).")

    def logits(self) -> NoReturn:
        """Raise MismatchError, because probabilities of most classes are missing."""
        self.log_probs(1.0)

    def cross_entropy(self, logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return H and the entropy of the teacher, `[...]` each; only the gradient is a tensor of all classes."""
        refuse_other_temperature(self.temperature, temperature)
        # to the dtype and device of the student: a store decodes to float32
        kept, entropy = self.kept.to(logits), self.entropy.to(logits)
        z, ids, p = by_example(logits), by_example(self.ids), by_example(kept)
        return like(entropy, sparse_cross_entropy(z, ids, p, temperature)), entropy

    def confidence(self) -> Tensor:
        """Return the largest probability at temperature 1."""
        refuse_other_temperature(self.temperature, 1.0)
        if self.is_estimate:
            self.log_probs(1.0)  # draws do not tell it, so this raises
        return self.kept[..., 0]  # they are in descending order

    def flat(self) -> SparseTargets:
        """Return them as `[examples, ...]`."""
        return replace(self, ids=by_example(self.ids), kept=by_example(self.kept), entropy=self.entropy.flatten())

    def rows(self, index: Index) -> SparseTargets:
        """Return the targets of the examples at `index`."""
        return replace(self, ids=self.ids[index], kept=self.kept[index], entropy=self.entropy[index])

    def joined(self, others: Sequence[Targets]) -> SparseTargets:
        """Concatenate these targets with `others` of the same class."""
        sparse = [self, *(other for other in others if isinstance(other, SparseTargets))]
        assert len(sparse) == 1 + len(others), "joined targets must come from one teacher"
        return replace(
            self,
            ids=torch.cat([targets.ids for targets in sparse]),
            kept=torch.cat([targets.kept for targets in sparse]),
            entropy=torch.cat([targets.entropy for targets in sparse]),
        )
