"""Attention maps: where in an image the activations of a layer are large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch.nn.functional as F
from torch import Tensor

from instar.checks import checked
from instar.errors import MismatchError
from instar.models.layer_gradients import GRADIENT, INPUTS
from instar.models.named_layers import LayerNames
from instar.objectives.features.feature_term import FeatureTerm, refuse_other_shapes
from instar.objectives.values import Need


@checked
@dataclass(frozen=True)
class AttentionTransfer(FeatureTerm):
    """l = sum over pairs (1/P) || Q_S / ||Q_S|| - Q_T / ||Q_T|| ||^2 with attention maps Q_i = mean over c of A_ci^2.

    Per example, without a unit. A is the output of a layer, `[batch, channels, height, width]`, i one of its P = height
    x width places; student and teacher may have other numbers of channels, but not another size. The gradient of a map
    of zeros is 0.

    The loss of a pair is at most 4 / P, so its weight is large: the authors' code has
    `0.9 * SoftTargets(4) + 0.1 * HardLabels() + 1000 * AttentionTransfer()`, with the stages of wide residual networks.

    With `gradients`, l = sum over pairs 1/2 || J_S - J_T ||^2 where J = d/dA -log softmax(z)_y is the gradient of the
    label loss with respect to A, of equal shapes in both networks. The pair `{"inputs": "inputs"}` compares gradients
    with respect to what the networks are called with, as the paper does. A step then has a second backward pass.

    Source: Zagoruyko and Komodakis 2017, "Paying more attention to attention", section 3.1, with activations and p = 2,
    and section 3.2 with gradients. The first equation is that of their code; their text has norms in place of the mean
    and of the sum of squares, with a weight of beta / 2.

    Args:
        pairs: see `FeatureTerm`; with `gradients`, also `{"inputs": "inputs"}`.
        gradients: compare gradients in place of activations.

    >>> import torch
    >>> maps = torch.zeros(1, 2, 2, 2)
    >>> maps[:, :, 0, 0] = 3.0
    >>> AttentionTransfer().compare(maps, 5 * maps), AttentionTransfer().compare(maps, maps.flip(-1))
    (tensor([0.]), tensor([0.5000]))
    """

    gradients: bool = False

    name = "attention_transfer"

    @property
    def needs(self) -> frozenset[Need]:
        """A teacher, and labels for gradients."""
        return super().needs | ({Need.LABELS} if self.gradients else frozenset())

    @property
    def layers(self) -> Mapping[str, str]:
        """The pairs by name, of layers whose gradients are asked for if the term compares these."""
        before = GRADIENT if self.gradients else ""
        return {before + own: before + theirs for own, theirs in super().layers.items()}

    def resolve(self, student: LayerNames, teacher: LayerNames) -> Self:
        """Return the term with each pair by name."""
        of_inputs = self.gradients and self.pairs == {INPUTS: INPUTS}
        return self if of_inputs else super().resolve(student, teacher)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean squared difference of the normalised attention maps per example, or that of gradients."""
        if self.gradients:
            refuse_other_shapes(student, teacher)
            return (student - teacher).square().flatten(1).sum(1) / 2
        refuse_other_sizes(student, teacher)
        return (attention_map(student) - attention_map(teacher)).square().mean(1)


def attention_map(features: Tensor) -> Tensor:
    """Return Q / ||Q||, `[batch, places]`, of features `[batch, channels, ...]`.

    >>> import torch
    >>> attention_map(torch.tensor([[[3.0, 0.0], [3.0, 0.0]]]))
    tensor([[1., 0.]])
    """
    return F.normalize(features.square().mean(1).flatten(1), dim=1)


def refuse_other_sizes(student: Tensor, teacher: Tensor) -> None:
    """Refuse features without places, or with other numbers of places.

    Raises:
        MismatchError: names both shapes.
    """
    shapes = [list(features.shape[1:]) for features in (student, teacher)]
    if min(student.dim(), teacher.dim()) < 3:
        raise MismatchError(f"it needs images [channels, height, width], got {shapes[0]} and {shapes[1]}")
    if student.shape[2:] != teacher.shape[2:]:
        sizes = [" x ".join(map(str, shape[1:])) for shape in shapes]
        raise MismatchError(f"they have {sizes[0]} and {sizes[1]} places; pair layers of one size")
