"""What a teacher says about a batch. Terms ask `log_probs(T)` and never how it was kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class Targets(ABC):
    """Soft targets of some examples, at any temperature."""

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """The number of classes."""

    @abstractmethod
    def log_probs(self, temperature: float) -> Tensor:
        """Return the log-probabilities softened by `temperature`, `[..., classes]`."""

    @abstractmethod
    def logits(self) -> Tensor:
        """Return log-probabilities up to a constant per example, at temperature 1, `[..., classes]`."""

    @abstractmethod
    def rows(self, index: Tensor) -> Targets:
        """Return the targets of the examples at `index`."""

    @abstractmethod
    def joined(self, others: Sequence[Targets]) -> Targets:
        """Return these targets with those of `others`, which are of the same kind, behind them."""


@dataclass(frozen=True, eq=False)
class DenseTargets(Targets):
    """p^T = softmax(v / T) from the logits v of all classes (Hinton et al. 2015, equation 1).

    Args:
        values: logits, `[..., classes]`.

    >>> DenseTargets(torch.tensor([[0.0, 0.0]])).log_probs(4).exp().tolist()
    [[0.5, 0.5]]
    """

    values: Tensor

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return self.values.shape[-1]

    def log_probs(self, temperature: float) -> Tensor:
        """Return log softmax(v / T)."""
        return torch.log_softmax(self.values / temperature, dim=-1)

    def logits(self) -> Tensor:
        """Return v."""
        return self.values

    def rows(self, index: Tensor) -> DenseTargets:
        """Return the targets of the examples at `index`."""
        return DenseTargets(self.values[index])

    def joined(self, others: Sequence[Targets]) -> DenseTargets:
        """Return these targets with those of `others` behind them."""
        return DenseTargets(torch.cat([self.values, *(other.logits() for other in others)]))


@dataclass(frozen=True, eq=False)
class MixtureTargets(Targets):
    """p^T = sum_k w_k p_k^T: the arithmetic mean of the parts, taken at the temperature that is asked for.

    Args:
        parts: the targets that are averaged.
        log_weights: log w_k, `[parts]`, with sum_k w_k = 1.
    """

    parts: tuple[Targets, ...]
    log_weights: Tensor

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return self.parts[0].num_classes

    def log_probs(self, temperature: float) -> Tensor:
        """Return log sum_k w_k p_k^T, computed in logarithms so that small probabilities keep their digits."""
        stacked = torch.stack([part.log_probs(temperature) for part in self.parts], dim=-1)
        return torch.logsumexp(stacked + self.log_weights.to(stacked), dim=-1)

    def logits(self) -> Tensor:
        """Return the log of the mixture at temperature 1."""
        return self.log_probs(1.0)

    def rows(self, index: Tensor) -> MixtureTargets:
        """Return the targets of the examples at `index`."""
        return MixtureTargets(tuple(part.rows(index) for part in self.parts), self.log_weights)

    def joined(self, others: Sequence[Targets]) -> MixtureTargets:
        """Return these targets with those of `others` behind them."""
        mixtures = [other for other in others if isinstance(other, MixtureTargets)]
        assert len(mixtures) == len(others), "joined targets must come from one teacher"
        parts = [part.joined([m.parts[i] for m in mixtures]) for i, part in enumerate(self.parts)]
        return MixtureTargets(tuple(parts), self.log_weights)
