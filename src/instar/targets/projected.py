"""Targets of a teacher with many classes, which computes its logits when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from instar.compute.precision import to_loss_dtype
from instar.compute.projected import Projected
from instar.targets.targets import DenseTargets, Index, Targets


@dataclass(frozen=True, eq=False)
class ProjectedTargets(Targets):
    """p^T = softmax(v / T) with v = W h + b, from the hidden states h of a teacher with many classes.

    The logits of a tile of examples are computed when the tile is read, and freed with it. Reading all examples at once
    computes and caches all logits.

    Args:
        projected: v, `[..., classes]`; it receives no gradient.

    >>> ProjectedTargets(Projected(torch.ones(1, 2), torch.zeros(4, 2))).log_probs(1.0).exp()
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    projected: Projected

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return self.projected.num_classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the examples."""
        return self.projected.hidden.shape[:-1]

    @property
    def holds_at_any_temperature(self) -> bool:
        """Logits of a network do."""
        return True

    @cached_property
    def _dense(self) -> DenseTargets:
        # cached, because several terms may read the same tile
        return DenseTargets(to_loss_dtype(self.projected.detach().logits()))

    def log_probs(self, temperature: float) -> Tensor:
        """Return log softmax(v / T)."""
        return self._dense.log_probs(temperature)

    def softened(self, temperature: float) -> tuple[Tensor, Tensor]:
        """Return p^T and its entropy."""
        return self._dense.softened(temperature)

    def logits(self) -> Tensor:
        """Return v."""
        return self._dense.logits()

    def flat(self) -> ProjectedTargets:
        """Return them as `[examples, ...]`, with the weights cast once for all tiles."""
        return ProjectedTargets(self.projected.detach().flat().cast())

    def rows(self, index: Index) -> ProjectedTargets:
        """Return the targets of the examples at `index`."""
        # the new object has no `_dense`, so the logits of a tile are freed with the tile
        return ProjectedTargets(self.projected.rows(index))

    def joined(self, others: Sequence[Targets]) -> ProjectedTargets:
        """Concatenate these targets with `others` of the same class."""
        alike = [self.projected, *(other.projected for other in others if isinstance(other, ProjectedTargets))]
        # only hidden states are concatenated, so all of them need the same output layer
        layers = {other.weight.data_ptr() for other in alike}
        assert (len(alike), len(layers)) == (1 + len(others), 1), "joined targets must come from one teacher"
        return ProjectedTargets(replace(self.projected, hidden=torch.cat([other.hidden for other in alike])))
