"""The teacher that a caller gave: its names for the run folder, and the object that is queried."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.config import RunConfig
from instar.errors import ConfigError
from instar.models.trained import attach_network, lend_network
from instar.runs.run import Run
from instar.targets.store import TargetStore
from instar.teachers.conversion import as_teacher
from instar.teachers.ensemble import Ensemble
from instar.teachers.teacher import Teacher


def paths_of(teacher: Any) -> tuple[str, ...] | None:
    """Return the paths of teachers that are runs, stores or folders; () if any is not, None if there is no teacher.

    >>> paths_of("runs/a"), paths_of(["runs/a", nn.Linear(2, 2)]), paths_of(None)
    (('runs/a',), (), None)
    """
    if teacher is None:
        return None
    several = list(teacher) if isinstance(teacher, list | tuple) else [teacher]
    folders = [one.path if isinstance(one, Run | TargetStore) else one for one in several]
    return tuple(map(str, folders)) if all(isinstance(folder, str | Path) for folder in folders) else ()


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
    return paths_of(several) or (type(made).__name__,), made  # an object has no path, and its class is its name
