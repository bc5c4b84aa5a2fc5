"""The teacher that a caller gave: its names for the run folder, and the object that is queried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.config import RunConfig
from instar.data.dataset import Data
from instar.errors import ConfigError, nearest, say
from instar.models.trained import attach_network, lend_network
from instar.runs.run import Run
from instar.targets.store import TargetStore
from instar.teachers.conversion import as_teacher
from instar.teachers.ensemble import Ensemble
from instar.teachers.foreign import ForeignTeacher, as_names
from instar.teachers.given import GivenPredictions
from instar.teachers.module import Module
from instar.teachers.teacher import Teacher

PARTS_OF_A_TEACHER = {f"teacher_{part}": part for part in ("arguments", "weights", "reader", "classes")}
"""Arguments of the verbs for a teacher by name, and what `ForeignTeacher` calls them."""


def split_parts(teacher: Any, named: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return a teacher with the parts among arguments by name, and the other arguments.

    Args:
        teacher: what a caller gave as the teacher.
        named: arguments by name.

    Raises:
        ConfigError: when the parts are not for one teacher by name or one module.

    >>> teacher, others = split_parts("nets:Net", {"teacher_weights": "net.pt", "epochs": 3})
    >>> str(teacher), others
    ("ForeignTeacher('nets:Net', weights='net.pt')", {'epochs': 3})
    """
    others = {name: value for name, value in named.items() if name not in PARTS_OF_A_TEACHER}
    given = {PARTS_OF_A_TEACHER[name]: named[name] for name in named.keys() - others.keys() if named[name] is not None}
    several = teacher if isinstance(teacher, list | tuple) else [teacher]
    if not given:
        return teacher, others
    if len(several) == 1 and isinstance(several[0], nn.Module) and given.keys() <= {"reader", "classes"}:
        return Module(several[0], as_names(given.get("classes", ())) or None, given.get("reader")), others
    if len(several) != 1 or not isinstance(several[0], str):
        what = f"{len(several)} teachers" if len(several) != 1 else type(several[0]).__name__
        raise ConfigError(
            f"{', '.join(sorted(named.keys() & PARTS_OF_A_TEACHER.keys()))}: for one teacher by package.module:Name, "
            f"got {what}; each of several is a text of its own, ForeignTeacher('package.module:Name', weights='FILE')."
        )
    return ForeignTeacher(several[0], **given), others


def only_parts(verb: str, teacher: Any, parts: Mapping[str, Any]) -> Any:
    """Return a teacher with its parts, where a verb takes no other arguments by name.

    Raises:
        ConfigError: for another argument.
    """
    made, others = split_parts(teacher, parts)
    if others:
        name = next(iter(others))
        raise ConfigError(f"{verb} takes no argument '{name}'; {nearest(name, PARTS_OF_A_TEACHER)}")
    return made


def paths_of(teacher: Any) -> tuple[str, ...] | None:
    """Return the paths or names of teachers that have one; () if any has none, None if there is no teacher.

    >>> paths_of("runs/a"), paths_of(["runs/a", nn.Linear(2, 2)]), paths_of(None)
    (('runs/a',), (), None)
    """
    if teacher is None:
        return None
    several = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    folders = [one.path if isinstance(one, Run | TargetStore) else one for one in several]
    are_named = all(
        one.are_in_files if isinstance(one, GivenPredictions) else isinstance(one, str | Path | ForeignTeacher)
        for one in folders
    )
    return tuple(map(str, folders)) if are_named else ()


def teacher_of(verb: str, teacher: Any, config: RunConfig) -> Any:
    """Return what a caller gave as the teacher, or the folders that a configuration names instead.

    Args:
        verb: the name of the function, for error messages.
        teacher: teacher that was given.
        config: made with `teachers=paths_of(teacher)`, so that it differs only where settings say so.

    Raises:
        ConfigError: when there is no teacher.
    """
    # settings override arguments, so other teachers that they name replace the given one
    found = teacher if paths_of(teacher) == config.teachers else config.teachers
    if isinstance(found, list | tuple) and not found:
        raise ConfigError(f"{verb} needs a teacher; give one, such as a run folder.")
    return found


def choose_teacher(
    teacher: Any,
    combine: Literal["geometric", "arithmetic"],
    *,
    network: nn.Module | str | None = None,
    trust: bool,
) -> tuple[tuple[str, ...], Teacher]:
    """Return the names of what was given, and one teacher.

    Args:
        teacher: one, or a list of several.
        combine: average of several teachers.
        network: the network of run folders that need it.
        trust: allow model classes outside `instar.models`.
    """
    several = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    if len(several) == 1:
        made = as_teacher(attach_network(several[0], network, trust=trust), trust=trust)
    else:
        made = Ensemble([lend_network(one, network) for one in several], combine, trust=trust)
    return paths_of(several) or (made.describe_kind(),), made  # an object has no path


def match_data(teacher: Teacher, data: Data) -> Teacher:
    """Return given predictions as a teacher that has found those of the data; another teacher unchanged."""
    return teacher.match(data.splits) if isinstance(teacher, GivenPredictions) else teacher


def leave_out(data: Data, teacher: Teacher) -> Data:
    """Return the data without the training samples that a teacher lacks; stderr counts them.

    Only given predictions, and stores of them, lack samples of the data that they are about.
    """
    lacks = teacher.lacks(data.train)
    if not lacks.any() or lacks.all():  # of all, whoever queries the teacher says what does not fit
        return data
    say(
        f"instar: {int(lacks.sum()):,} of {len(lacks):,} training samples have no prediction by the teacher, and are "
        "left out."
    )
    return replace(data, train=data.train.select(~lacks))
