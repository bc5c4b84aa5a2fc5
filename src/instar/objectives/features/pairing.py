"""Pairs of layers by name: which layer of the teacher each layer of the student is compared with."""

from __future__ import annotations

from collections.abc import Mapping

from instar.errors import MismatchError
from instar.models.named_layers import LayerNames, quote_names

STAGES = "stages"
"""Pairs of the stages of student and teacher that have the same name."""


def pair_layers(who: str, pairs: str | Mapping[str, str], student: LayerNames, teacher: LayerNames) -> dict[str, str]:
    """Return pairs of layers by name; see `FeatureTerm.resolve`.

    Args:
        who: name of the term.
        pairs: pairs of names or patterns, or "stages".
        student: layers of the student.
        teacher: layers of the teacher.
    """
    if isinstance(pairs, str):
        for layers in (student, teacher):
            if not layers.stages:
                raise MismatchError(
                    f"{who}(pairs='{pairs}') needs networks with stages, and {layers.who} has none; pair layers by "
                    "name, such as {'layer2': 'layer2'}; instar layers lists them."
                )
        if student.stages != teacher.stages:
            raise MismatchError(
                f"{who}(pairs='{pairs}') needs the same stages, and the student has {quote_names(student.stages)}, "
                f"{teacher.who} {quote_names(teacher.stages)}; pair them by name, such as "
                f"{{'{student.stages[-1]}': '{teacher.stages[-1]}'}}."
            )
        return {name: name for name in student.stages}
    found: dict[str, str] = {}
    for own, theirs in pairs.items():
        names, others = student.find(own), teacher.find(theirs)
        if len(names) != len(others):
            raise MismatchError(
                f"{who} pairs '{own}' with '{theirs}', which are {len(names)} layers of the student "
                f"({quote_names(names)}) and {len(others)} of the teacher ({quote_names(others)})."
            )
        if twice := [name for name in names if name in found]:
            raise MismatchError(f"{who} pairs the student's layer '{twice[0]}' twice; name it in one pair.")
        found |= dict(zip(names, others, strict=True))
    return found
