"""The description of a teacher in the manifest of a target store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instar.compute.inputs import Inputs
from instar.config import validate
from instar.models.normalised import Normalised
from instar.models.probe import probe_functions
from instar.targets.manifest import TeacherDescription
from instar.teachers.teacher import Teacher


def describe_teacher(
    teacher: Teacher,
    names: tuple[str, ...],
    combine: str,
    precision: str,
    columns: Mapping[str, Inputs],
    left_out: int = 0,
) -> TeacherDescription:
    """Return the description of a teacher for a manifest, with a few of its logits for some samples.

    Args:
        teacher: the teacher.
        names: its names in a configuration.
        combine: average of several teachers.
        precision: precision of its logits.
        columns: raw values `[n, ...]` of some samples by the name of the column.
        left_out: number of training samples that were given no prediction.
    """
    networks = [network for network in teacher.modules() if isinstance(network, Normalised)]
    statistics: list[dict[str, Any]] = [
        {name: getattr(network, name).flatten().tolist() for name in ("mean", "std")} for network in networks
    ]
    return validate(
        TeacherDescription,
        {
            "names": names,
            "combine": combine,
            "fingerprint": teacher.fingerprint(),
            "precision": precision,
            "normalisation": statistics,
            "functions": probe_functions("teacher", teacher.modules(), columns),
            "left_out": left_out,
        },
    )
