"""The flow of a solution: how the maps of one layer go with those of the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor

from instar.data.batch import Batch
from instar.errors import MismatchError
from instar.objectives.features.feature_term import FeatureTerm


@dataclass(frozen=True)
class FlowOfSolution(FeatureTerm):
    """l = sum over k || G_k^S - G_k^T ||^2 with G_k[i, j] = (1/P) sum over p of A_k[i, p] A_(k+1)[j, p] (FSP matrices).

    Per example. A_k is the output of the k-th layer in `pairs`, `[batch, channels, height, width]`, and P the number of
    its places p. Each layer goes with the one that is named after it, so n layers give n - 1 matrices. The maps of the
    larger one are first reduced to the size of the smaller by the maximum, as in the paper. Student and teacher need
    equal numbers of channels, but no equal sizes.

    Source: Yim et al. 2017, "A gift from knowledge distillation", equations 1 and 2, with equal weights lambda. They
    train a student on this term alone, and then on labels.

    Args:
        pairs: at least two layers; see `FeatureTerm`.

    >>> import torch
    >>> term, maps = FlowOfSolution({"a": "a", "b": "b"}), torch.ones(1, 2, 2, 2)
    >>> term.of_layers({"a": maps, "b": maps}, {"a": maps, "b": 3 * maps}, Batch.of_labels(torch.tensor([0])))
    tensor([16.])
    """

    name = "flow_of_solution"

    def compare_all(self, student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return the squared distance of the matrices per example."""
        if len(student) < 2:
            raise MismatchError("FlowOfSolution needs the layers at the start and the end of a stage, got one pair.")
        for own, theirs, names in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(*names):
                refuse_other_channels(own, theirs)
        pairs = zip(pairwise(student), pairwise(teacher), strict=True)
        distances = [(flow(*own) - flow(*theirs)).square().sum((1, 2)) for own, theirs in pairs]
        total = distances[0]
        for distance in distances[1:]:
            total = total + distance
        return total

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Refuse a single layer, which has no flow."""
        raise NotImplementedError


def flow(first: Tensor, second: Tensor) -> Tensor:
    """Return G, `[batch, channels of the first, channels of the second]`, of two layers `[batch, channels, h, w]`."""
    size = tuple(map(min, first.shape[2:], second.shape[2:]))
    first, second = (
        (maps if tuple(maps.shape[2:]) == size else F.adaptive_max_pool2d(maps, size)).flatten(2)
        for maps in (first, second)
    )
    return first @ second.transpose(1, 2) / first.shape[2]


def refuse_other_channels(student: Tensor, teacher: Tensor) -> None:
    """Refuse layers that are no images, or have other numbers of channels.

    Raises:
        MismatchError: names both shapes.
    """
    shapes = [list(layer.shape[1:]) for layer in (student, teacher)]
    if student.dim() != 4 or teacher.dim() != 4:
        raise MismatchError(f"it needs images [channels, height, width], got {shapes[0]} and {shapes[1]}")
    if student.shape[1] != teacher.shape[1]:
        raise MismatchError(f"they have {shapes[0][0]} and {shapes[1][0]} channels; choose networks of equal widths")
