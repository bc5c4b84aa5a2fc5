"""Objectives whose terms name each layer, and all that these terms own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from instar.compute.precision import to_loss_dtype
from instar.data.samples import Samples
from instar.models.named_layers import LayerNames
from instar.objectives.features.feature_term import FeatureTerm
from instar.objectives.objective import Objective


def resolve_layers(objective: Objective, student: LayerNames, teacher: LayerNames) -> Objective:
    """Return an objective whose terms name each layer; see `FeatureTerm.resolve`."""
    parts: list[Any] = [
        (weight, term.resolve(student, teacher) if isinstance(term, FeatureTerm) else term)
        for weight, term in objective.parts
    ]
    return Objective(tuple(parts))


def make_adapters(
    objective: Objective, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], samples: Samples
) -> nn.ModuleDict:
    """Return what the terms own, by the name of the term; new weights come from torch's generator.

    Args:
        objective: objective whose terms name each layer.
        student: outputs of the student's layers for a few samples.
        teacher: outputs of the teacher's layers.
        samples: the training set.

    Raises:
        MismatchError: when a term has no adapter for these shapes; names both layers.
    """
    found = nn.ModuleDict()
    for _, term in objective.parts:
        if not isinstance(term, FeatureTerm):
            continue
        own = [tuple(student[name].shape[1:]) for name in term.layers]
        theirs = [tuple(teacher[name].shape[1:]) for name in term.layers.values()]
        if (made := term.make_adapters(own, theirs, samples)) is not None:
            feature = to_loss_dtype(student[next(iter(term.layers))])
            made.made_for = (own, theirs)
            found[term.name] = made.to(device=feature.device, dtype=feature.dtype)
    return found
