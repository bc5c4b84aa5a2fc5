"""Soft targets of a teacher for a batch. Terms read `log_probs(T)`, whatever the targets are stored as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from instar.compute.tiling import exceeds_cached_tile
from instar.errors import MismatchError
from instar.targets.cross_entropy import dense_cross_entropy, scaled
from instar.targets.many_classes import softened

Index = Tensor | slice | tuple[slice, ...]
"""Index of examples: numbers, a slice, or slices of samples and positions."""


class Targets(ABC):
    """Soft targets of some examples, at any temperature."""

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """Number of classes."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the examples, `[batch]` or `[batch, position]`; None: unknown."""
        return None

    @property
    def holds_at_any_temperature(self) -> bool:
        """Whether the logits v give p^T = softmax(v / T) at all temperatures."""
        return False

    @property
    def is_estimate(self) -> bool:
        """Whether `cross_entropy` is an unbiased estimate, which may be below the entropy."""
        return False

    @abstractmethod
    def log_probs(self, temperature: float) -> Tensor:
        """Return the log-probabilities softened by `temperature`, `[..., classes]`."""

    @abstractmethod
    def logits(self) -> Tensor:
        """Return log-probabilities up to a constant per example, at temperature 1, `[..., classes]`."""

    def cross_entropy(self, logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return -sum_c p_c^T log softmax(z / T)_c and the entropy of p^T (without gradient), in nats, `[...]` each.

        Args:
            logits: logits z of the student, `[..., classes]`.
            temperature: temperature T.
        """
        p, entropy = self.softened(temperature)
        # [examples, classes], whether or not there are positions: the formulas are written once
        z, p = by_example(logits), by_example(p.to(logits))
        return like(entropy, dense_cross_entropy(z, p, temperature)), entropy.to(logits)

    def softened(self, temperature: float) -> tuple[Tensor, Tensor]:
        """Return p^T, `[..., classes]`, and its entropy in nats, `[...]`."""
        p = self.log_probs(temperature).exp()
        return p, torch.special.entr(p).sum(-1)  # entr(0) is 0, where -p log p is NaN

    def confidence(self) -> Tensor:
        """Return max_c p_c at temperature 1, `[...]`."""
        return self.log_probs(1.0).max(-1).values.exp()

    @abstractmethod
    def flat(self) -> Targets:
        """Return the targets as `[examples, ...]`, with each position as an example."""

    @abstractmethod
    def rows(self, index: Index) -> Targets:
        """Return the targets of the examples at `index`, without cached values of the others."""

    def first(self, positions: int) -> Targets:
        """Return the targets of the first positions of each sample, `[samples, positions, ...]`."""
        return self.rows((slice(None), slice(positions)))

    def part(self, start: int, stop: int) -> Targets:
        """Return the targets of the examples from `start` to `stop`, sharing cached values of the whole."""
        return self.rows(slice(start, stop))

    @abstractmethod
    def joined(self, others: Sequence[Targets]) -> Targets:
        """Concatenate these targets with `others` of the same class."""


@dataclass(frozen=True, eq=False)
class DenseTargets(Targets):
    """p^T = softmax(v / T) from the logits v of all classes (Hinton et al. 2015, equation 1).

    Args:
        values: logits v, `[..., classes]`.
        temperature: the only valid temperature, if the values are T log p^T of a mixture; None: any temperature.

    Raises:
        MismatchError: when a term reads them at another temperature.

    >>> DenseTargets(torch.tensor([[0.0, 0.0]])).log_probs(4).exp().tolist()
    [[0.5, 0.5]]
    """

    values: Tensor
    temperature: float | None = None
    # a store looks up the targets of many batches at once; what depends on the teacher alone is then computed for all
    # of them in one go, and a batch, a part of that whole, reads its rows of it
    _whole: tuple[DenseTargets, slice] | None = field(default=None, repr=False)
    _softened: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return self.values.shape[-1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the examples."""
        return self.values.shape[:-1]

    @property
    def holds_at_any_temperature(self) -> bool:
        """Whether the logits hold at any temperature."""
        return self.temperature is None

    def log_probs(self, temperature: float) -> Tensor:
        """Return log softmax(v / T)."""
        refuse_other_temperature(self.temperature, temperature)
        return torch.log_softmax(scaled(self.values, temperature), dim=-1)

    def softened(self, temperature: float) -> tuple[Tensor, Tensor]:
        """Return p^T and its entropy, computed once for all parts of a whole."""
        if self._whole:
            whole, rows = self._whole
            p, entropy = whole.softened(temperature)
            return p[rows], entropy[rows]  # by a slice, so nothing is copied
        if temperature not in self._softened:
            self._softened[temperature] = self._soften(temperature)
        return self._softened[temperature]

    def _soften(self, temperature: float) -> tuple[Tensor, Tensor]:
        if not exceeds_cached_tile(self.values):
            return super().softened(temperature)
        refuse_other_temperature(self.temperature, temperature)
        # `entr` of a whole tensor takes more passes over memory that no cache holds
        p, entropy = softened(by_example(self.values), temperature)
        return p.view(self.values.shape), entropy.view(self.values.shape[:-1])

    def logits(self) -> Tensor:
        """Return v."""
        refuse_other_temperature(self.temperature, 1.0)  # T log p^T of a mixture are no logits at temperature 1
        return self.values

    def flat(self) -> DenseTargets:
        """Return them as `[examples, ...]`."""
        return DenseTargets(by_example(self.values), self.temperature)

    def rows(self, index: Index) -> DenseTargets:
        """Return the targets of the examples at `index`."""
        # without the whole: for many classes its p^T would be as large as all logits, and a tile must stay a tile
        return DenseTargets(self.values[index], self.temperature)

    def part(self, start: int, stop: int) -> DenseTargets:
        """Return the targets of the examples from `start` to `stop`."""
        rows = slice(start, stop)
        return DenseTargets(self.values[rows], self.temperature, (self, rows))

    def joined(self, others: Sequence[Targets]) -> DenseTargets:
        """Concatenate these targets with `others` of the same class."""
        dense = [other for other in others if isinstance(other, DenseTargets)]
        assert len(dense) == len(others), "joined targets must come from one teacher"
        return DenseTargets(torch.cat([self.values, *(other.values for other in dense)]), self.temperature)


@dataclass(frozen=True, eq=False)
class MixtureTargets(Targets):
    """p^T = sum_k w_k p_k^T: the arithmetic mean of several targets at the temperature of the term.

    Args:
        parts: targets to average.
        log_weights: log w_k, `[parts]`, with sum_k w_k = 1.
    """

    parts: tuple[Targets, ...]
    log_weights: Tensor

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return self.parts[0].num_classes

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the examples."""
        return self.parts[0].shape

    def log_probs(self, temperature: float) -> Tensor:
        """Return log sum_k w_k p_k^T."""
        stacked = torch.stack([part.log_probs(temperature) for part in self.parts], dim=-1)  # [..., classes, parts]
        # with logarithms throughout: e^-200 is 0 in float32, and its class would lose all digits
        return torch.logsumexp(stacked + self.log_weights.to(stacked), dim=-1)

    def logits(self) -> Tensor:
        """Return the log of the mixture at temperature 1."""
        return self.log_probs(1.0)

    def flat(self) -> MixtureTargets:
        """Return them as `[examples, ...]`."""
        return MixtureTargets(tuple(part.flat() for part in self.parts), self.log_weights)

    def rows(self, index: Index) -> MixtureTargets:
        """Return the targets of the examples at `index`."""
        return MixtureTargets(tuple(part.rows(index) for part in self.parts), self.log_weights)

    def joined(self, others: Sequence[Targets]) -> MixtureTargets:
        """Concatenate these targets with `others` of the same class."""
        mixtures = [other for other in others if isinstance(other, MixtureTargets)]
        assert len(mixtures) == len(others), "joined targets must come from one teacher"
        parts = [part.joined([m.parts[i] for m in mixtures]) for i, part in enumerate(self.parts)]
        return MixtureTargets(tuple(parts), self.log_weights)


# both return a tensor of the right shape unchanged, because a view costs a step forward and one back


def by_example(tensor: Tensor) -> Tensor:
    """Return `[..., n]` as `[examples, n]`."""
    return tensor if tensor.dim() == 2 else tensor.reshape(-1, tensor.shape[-1])


def like(shape: Tensor, values: Tensor) -> Tensor:
    """Return values `[examples]` in the shape of another tensor `[...]`."""
    return values if shape.dim() == 1 else values.view(shape.shape)


def refuse_other_temperature(kept: float | None, asked: float) -> None:
    """Refuse to read targets of one temperature at another.

    Raises:
        MismatchError: when the temperatures differ; names both.
    """
    if kept is not None and kept != asked:
        raise MismatchError(
            f"these targets were stored at temperature {kept:g}, but the objective needs {asked:g}; make the store at "
            "that temperature, or store the logits of one network or of a geometric mean, which hold at any."
        )
