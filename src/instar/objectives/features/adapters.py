"""Layers that terms own: they give outputs of the student the shapes of the teacher's, and are trained with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from instar.compute.precision import to_loss_dtype
from instar.objectives.features.feature_term import FeatureTerm
from instar.objectives.objective import Objective


class TermAdapters(nn.Module):
    """The adapters of a term, one for each of its pairs of layers.

    Args:
        names: layers of the student.
        adapters: their adapters, in the same order.
    """

    def __init__(self, names: Sequence[str], adapters: Sequence[nn.Module]) -> None:
        super().__init__()
        self.names, self.adapters = tuple(names), nn.ModuleList(adapters)

    def forward(self, student: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the adapted outputs by name."""
        return {name: adapter(student[name]) for name, adapter in zip(self.names, self.adapters, strict=True)}


def make_adapters(objective: Objective, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> nn.ModuleDict:
    """Return the adapters of the terms that own some, by the name of the term; new weights come from torch's generator.

    Args:
        objective: objective whose terms name each layer.
        student: outputs of the student's layers for a few samples.
        teacher: outputs of the teacher's layers.

    Raises:
        MismatchError: when a term has no adapter for these shapes; names both layers.
    """
    found = nn.ModuleDict()
    for _, term in objective.parts:
        if not isinstance(term, FeatureTerm):
            continue
        made: dict[str, nn.Module] = {}
        for own, theirs in term.layers.items():
            with term.naming(own, theirs):
                adapter = term.make_adapter(tuple(student[own].shape[1:]), tuple(teacher[theirs].shape[1:]))
            if adapter is not None:
                feature = to_loss_dtype(student[own])
                made[own] = adapter.to(device=feature.device, dtype=feature.dtype)
        if made:
            found[term.name] = TermAdapters(tuple(made), list(made.values()))
    return found
