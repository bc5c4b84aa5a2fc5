"""What terms own: layers that adapt hidden layers for a term, and are trained with the student; and their buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from instar.compute.inputs import Shape
from instar.data.batch import Batch
from instar.errors import MismatchError

Compared = tuple[Sequence[Any], Sequence[Any]]
"""What a term compares, of student and teacher: for each pair a tensor, or whatever the term reads."""


def refuse_other_places(student: Shape, teacher: Shape) -> bool:
    """Refuse two layers that a layer of 1 x 1 cannot adapt to each other; return whether they are images.

    Images are `[channels, height, width]`; of other layers, the last axis has the features.

    Raises:
        MismatchError: when they have other numbers of axes or places.

    >>> refuse_other_places((4, 8, 8), (6, 8, 8)), refuse_other_places((5, 16), (5, 32))
    (True, False)
    """
    if len(student) != len(teacher) or not student:
        raise MismatchError(f"their shapes are {list(student)} and {list(teacher)}, of other numbers of axes")
    is_image = len(student) == 3
    sizes = (student[1:], teacher[1:]) if is_image else (student[:-1], teacher[:-1])
    if sizes[0] != sizes[1]:
        shown = [" x ".join(map(str, size)) for size in sizes]
        raise MismatchError(f"they have {shown[0]} and {shown[1]} places; pair layers of one size")
    return is_image


class Adapters(nn.Module):
    """Layers and buffers of one term, for all of its pairs of layers.

    They are trained with the student, and are in the checkpoint, but never in the student. A term may own more than one
    layer for each pair, as the embeddings of both networks with a memory of all samples; its class derives from this.

    Attributes:
        made_for: shapes of the layers of student and teacher that they were made for; empty: unknown.
    """

    made_for: Sequence[Sequence[Shape]] = ()

    def forward(
        self, student: list[Tensor], teacher: list[Tensor], batch: Batch
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return what the term compares.

        It changes no buffer that a later call reads: the gradients of this one still need them.

        Args:
            student: outputs of the student's layers in the order of the pairs.
            teacher: outputs of the teacher's layers, without gradients.
            batch: the samples.
        """
        raise NotImplementedError

    def update(self) -> None:
        """Change buffers after a step of the optimiser, by what the last call has found; by default none."""


class PairAdapters(Adapters):
    """One adapter for each pair of layers, which the student's layer goes through.

    Args:
        adapters: in the order of the pairs; None leaves a layer as it is.
    """

    def __init__(self, adapters: Sequence[nn.Module | None]) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(nn.Identity() if one is None else one for one in adapters)

    def forward(
        self, student: list[Tensor], teacher: list[Tensor], batch: Batch
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return the adapted layers of the student, and those of the teacher as they are."""
        return [adapter(layer) for adapter, layer in zip(self.adapters, student, strict=True)], teacher
