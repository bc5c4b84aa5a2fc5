"""Attention maps: where in an image the activations of a layer are large."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from instar.errors import MismatchError
from instar.objectives.features.feature_term import FeatureTerm


@dataclass(frozen=True)
class AttentionTransfer(FeatureTerm):
    """l = sum over pairs (1/P) || Q_S / ||Q_S|| - Q_T / ||Q_T|| ||^2 with attention maps Q_i = mean over c of A_ci^2.

    Per example, without a unit. A is the output of a layer, `[batch, channels, height, width]`, i one of its P = height
    x width places; student and teacher may have other numbers of channels, but not another size. The gradient of a map
    of zeros is 0.

    The loss of a pair is at most 4 / P, so its weight is large: the authors' code has
    `0.9 * SoftTargets(4) + 0.1 * HardLabels() + 1000 * AttentionTransfer()`, with the stages of wide residual networks.

    Source: Zagoruyko and Komodakis 2017, "Paying more attention to attention", section 3.1, with activations and p = 2.
    The equation is that of their code; their text has the norm in place of its mean square, with a weight of beta / 2.

    Args:
        pairs: see `FeatureTerm`.

    >>> import torch
    >>> maps = torch.zeros(1, 2, 2, 2)
    >>> maps[:, :, 0, 0] = 3.0
    >>> AttentionTransfer().compare(maps, 5 * maps), AttentionTransfer().compare(maps, maps.flip(-1))
    (tensor([0.]), tensor([0.5000]))
    """

    name = "attention_transfer"

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean squared difference of the normalised attention maps per example."""
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
