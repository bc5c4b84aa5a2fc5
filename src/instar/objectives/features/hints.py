"""Hints: the output of a layer of the teacher, which the student predicts from its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from instar.checks import checked
from instar.data.batch import Batch
from instar.objectives.features.adapters import refuse_other_places
from instar.objectives.features.feature_term import FeatureTerm, refuse_other_shapes
from instar.objectives.features.sequences import losses_of_labels, refuse_other_positions


@checked
@dataclass(frozen=True)
class Hints(FeatureTerm):
    """l = sum over pairs (1/D) || r(S) - T ||^2 over the D values of a layer: S of the student, T of the teacher.

    Per example. r is a regressor that the term owns and the run trains with the student: a convolution of 1 x 1 for
    images `[batch, channels, height, width]`, which need equal sizes, and a linear layer over the last axis otherwise.
    It is never a part of the student. The published loss is half the squared distance, without 1/D.

    Where labels are at positions, layers return `[batch, position, width]`, and each label has the loss of the D values
    at its position; a word, at its first token.

    Source: Romero et al. 2015, "FitNets: hints for thin deep nets", equation 3. They train up to this layer first; the
    mean over values, beside the other terms, is that of Tian et al. 2020, whose weight is 100.

    Args:
        pairs: usually one layer in the middle; see `FeatureTerm`.
        regressor: False: r(S) = S, and layers must have equal shapes, which compares activations as they are.

    >>> import torch
    >>> Hints(regressor=False).compare(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([2.])
    """

    regressor: bool = True

    name = "hints"

    def make_adapter(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module | None:
        """Return the regressor."""
        if not self.regressor:
            return None
        return (
            nn.Conv2d(student[0], teacher[0], 1)
            if refuse_other_places(student, teacher)
            else nn.Linear(student[-1], teacher[-1])
        )

    def compares_positions(self, batch: Batch) -> bool:
        """Return whether labels are at positions."""
        return batch.labels.dim() > 1

    def compare_all(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return the loss of each example: the sum over pairs of layers."""
        if not self.compares_positions(batch):
            return super().compare_all(student, teacher, batch)
        losses = []
        for own, theirs, names in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(*names):
                refuse_other_positions(own, theirs, batch)
                at_positions = self.compare(own.flatten(0, 1), theirs.flatten(0, 1)).unflatten(0, own.shape[:2])
                losses.append(losses_of_labels(at_positions, batch))
        return torch.stack(losses).sum(0)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean squared difference per example."""
        refuse_other_shapes(student, teacher)
        return (student - teacher).square().flatten(1).mean(1)
