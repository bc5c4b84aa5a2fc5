"""Initial weights of a student that are those of layers of its teacher, matched by their names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from instar.errors import MismatchError
from instar.models.named_layers import LayerNames, name_modules, quote_names

MAX_NAMED_SHAPES = 3
"""Weights of other shapes that an error names."""

LayerMap = Mapping[str, str | None]
"""Patterns of the student's layers, each with the pattern of the teacher's; None: these keep their own weights."""


@torch.no_grad()
def copy_layers(student: nn.Module, teacher: nn.Module, layers: LayerMap) -> list[str]:
    """Copy weights and buffers of a teacher into a student; both without their `Normalised` wrapper.

    A layer that a pattern matches takes the weights of its counterpart, with all layers inside it. Patterns that match
    several layers pair them in the order of the networks. Every other layer takes those of the layer of its own name.

    Args:
        student: network to change in place.
        teacher: network to copy from.
        layers: which layer of the student takes the weights of which layer of the teacher.

    Returns:
        The student's layers that the teacher has no counterpart of, which keep their own weights.

    Raises:
        MismatchError: when a pattern matches no layer or the networks have other numbers of them, when shapes differ,
            or when nothing is left to copy.

    >>> deep = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)])
    >>> shallow = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    >>> copy_layers(shallow, deep, {"*": "[02]"})
    []
    >>> bool((shallow[1].weight == deep[2].weight).all())
    True
    """
    counterparts = match_layers_by_name(student, teacher, layers)
    own, theirs = student.state_dict(), teacher.state_dict()
    copied: dict[str, Tensor] = {}
    fresh: dict[str, None] = {}  # in the order of the network
    odd: list[str] = []
    for name, value in own.items():
        counterpart = _counterpart(name, counterparts)
        found = None if counterpart is None else theirs.get(counterpart)
        if not isinstance(found, Tensor) or not isinstance(value, Tensor):
            fresh[name.rpartition(".")[0] or name] = None
        elif found.shape != value.shape:
            odd.append(f"'{name}' is {list(value.shape)} and the teacher's '{counterpart}' is {list(found.shape)}")
        else:
            copied[name] = found.to(device=value.device, dtype=value.dtype, copy=True)
    if odd:
        more = f" ({len(odd)} of them)" if len(odd) > MAX_NAMED_SHAPES else ""
        raise MismatchError(
            f"the student cannot start from its teacher, because weights have other shapes{more}: "
            f"{'; '.join(odd[:MAX_NAMED_SHAPES])}. Map these layers to others in start_layers, or to null for new "
            "weights."
        )
    if not copied and None in counterparts.values():
        raise MismatchError(
            "the student cannot start from its teacher, because start_layers gives new weights to all layers that have "
            "a counterpart; map one of them, or leave out start."
        )
    if not copied:
        raise MismatchError(
            f"the student cannot start from its teacher, because no layers have the same names: the student has "
            f"{quote_names(_outer(student))}, the teacher {quote_names(_outer(teacher))}; map them in start_layers."
        )
    student.load_state_dict(copied, strict=False)
    # a layer with one weight that is copied and one that is not has both names
    return list(fresh)


def match_layers_by_name(student: nn.Module, teacher: nn.Module, layers: LayerMap) -> dict[str, str | None]:
    """Return the teacher's layer for each of the student's layers that a pattern matches, by dotted names.

    Raises:
        MismatchError: when a pattern matches none, two patterns match one layer, or the numbers differ.

    >>> deep, shallow = nn.ModuleList([nn.ReLU() for _ in range(6)]), nn.ModuleList([nn.ReLU() for _ in range(3)])
    >>> match_layers_by_name(shallow, deep, {"*": "{0,2,4}"})
    {'0': '0', '1': '2', '2': '4'}
    """
    own, theirs = (
        LayerNames(tuple(name_modules(one)), (), who)
        for one, who in ((student, "the student"), (teacher, "the teacher"))
    )
    found: dict[str, str | None] = {}
    for pattern, counterpart in layers.items():
        names = own.find(pattern)
        others: list[str | None] = [None] * len(names) if counterpart is None else [*theirs.find(counterpart)]
        if len(names) != len(others):
            raise MismatchError(
                f"start_layers must pair equally many layers: '{pattern}' matches {len(names)} of the student "
                f"({quote_names(names)}), and '{counterpart}' matches {len(others)} of the teacher "
                f"({quote_names([str(other) for other in others])})."
            )
        if twice := next((name for name in names if name in found), None):
            raise MismatchError(
                f"two patterns of start_layers match the student's layer '{twice}'; change one of them."
            )
        found |= zip(names, others, strict=True)
    return found


def _counterpart(name: str, counterparts: Mapping[str, str | None]) -> str | None:
    """Return the teacher's name of a weight of the student: that of the innermost layer with a counterpart."""
    layer, rest = name.rpartition(".")[0], name.rpartition(".")[2]
    while layer:
        if layer in counterparts:
            theirs = counterparts[layer]
            return None if theirs is None else f"{theirs}.{rest}"
        layer, _, last = layer.rpartition(".")
        rest = f"{last}.{rest}"
    return name


def _outer(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_children()]
