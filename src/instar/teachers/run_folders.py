"""Teachers from folders: the network of a run, the members of an ensemble, or a target store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from instar.errors import ConfigError, MismatchError, RunError, nearest
from instar.models.trained import lend_network, load_model, network_of
from instar.runs.run import Run
from instar.targets.manifest import MANIFEST_FILE
from instar.targets.store import TargetStore
from instar.teachers.conversion import as_teacher
from instar.teachers.ensemble import Ensemble
from instar.teachers.foreign import ForeignTeacher, names_a_foreign_teacher, parse_foreign_teacher
from instar.teachers.model_files import names_a_model_file
from instar.teachers.module import Module
from instar.teachers.reordered import reorder_classes
from instar.teachers.specialists import Specialist, Specialists
from instar.teachers.teacher import Teacher

ENSEMBLE = "ensemble"
"""Name of the model in the run folder of an ensemble. Its teachers are the members, and it has no weights."""

SPECIALISTS = "specialists"
"""Name of the model in the run folder of specialists. The first teacher is the generalist."""

MAX_NESTED_FOLDERS = 10
"""Largest depth of ensembles whose members are ensembles."""

# folders that are being opened, each as a member of the one before; per context, because threads may open others
_opening: ContextVar[tuple[Path, ...]] = ContextVar("opening", default=())


@as_teacher.register(str)
@as_teacher.register(Path)
def _of_path(thing: str | Path, *, trust: bool = False) -> Teacher:
    if isinstance(thing, str) and names_a_foreign_teacher(thing):
        return as_teacher(parse_foreign_teacher(thing), trust=trust)
    if names_a_model_file(thing):
        return as_teacher(ForeignTeacher(str(thing)), trust=trust)
    is_store = os.path.isfile(os.path.join(thing, MANIFEST_FILE))  # False for a path that no file can have
    return as_teacher(TargetStore(thing) if is_store else Run(thing), trust=trust)


@as_teacher.register(Run)
def _of_run(run: Run, *, trust: bool = False) -> Teacher:
    run.require_complete()
    model = run.config["model"]
    if model["name"] not in (ENSEMBLE, SPECIALISTS):
        return Module(load_model(run, trust=trust), run.classes)
    with refuse_nesting(run.path):
        # a network that the user gave belongs to whichever members cannot be built without it
        members = [lend_network(member, network_of(run)) for member in run.members()]
        if model["name"] == ENSEMBLE:
            return _require_fingerprint(Ensemble(members, run.config["combine"], trust=trust), run)
        generalist, *specialists = members
        return _require_fingerprint(make_specialists(generalist, specialists, trust=trust, **model["arguments"]), run)


@contextmanager
def refuse_nesting(path: Path) -> Iterator[None]:
    """Refuse an ensemble that contains itself, while its folder is being opened or made.

    Raises:
        RunError: when the folder is a member of itself, or too many such folders are nested.
    """
    # a document may come from a stranger, and a circle would end in Python's recursion limit
    folder, outer = path.resolve(), _opening.get()
    if folder in outer:
        raise RunError(f"'{path}' is a member of itself, or of one of its members; make it again in a new folder.")
    if len(outer) == MAX_NESTED_FOLDERS:
        raise RunError(
            f"'{path}' is inside more than {MAX_NESTED_FOLDERS} other ensembles; combine its members directly."
        )
    token = _opening.set((*outer, folder))
    try:
        yield
    finally:
        _opening.reset(token)


def _require_fingerprint(teacher: Teacher, run: Run) -> Teacher:
    # the folder holds only paths, and a member may have been trained again since
    if teacher.fingerprint() != run.fingerprints["teacher"]:
        names = ", ".join(f"'{member}'" for member in run.members())
        raise RunError(
            f"'{run.path}' was made of other models than its members' folders have now ({names}): their fingerprint "
            "differs; put the members back, or combine these in a new folder."
        )
    return teacher


def make_specialists(
    generalist: Run | Path,
    specialists: Sequence[Run | Path],
    *,
    weights: Sequence[float] | None = None,
    trust: bool = False,
    **arguments: Any,
) -> Specialists:
    """Make one teacher from the runs of a generalist and its specialists; see `Specialists`.

    Args:
        generalist: run folder of the generalist.
        specialists: run folders of the specialists, which record the classes that they were trained for.
        weights: one weight per specialist; None weighs all equally.
        trust: allow model classes outside `instar.models`.
        arguments: further arguments of `Specialists`.

    Raises:
        ConfigError: when the number of weights is not that of the specialists.
        MismatchError: when a run is no specialist, or has classes that the generalist does not have.
    """
    if weights is not None and len(weights) != len(specialists):
        raise ConfigError(f"weights must be one per specialist ({len(specialists)}), got {len(weights)}.")
    first = Run(generalist) if isinstance(generalist, Path) else generalist
    known = {name: index for index, name in enumerate(first.classes)}
    experts = []
    for number, given in enumerate(specialists):
        run = Run(given) if isinstance(given, Path) else given
        data = run.config["data"]
        names = data.get("special_classes", [])
        if not names:
            raise MismatchError(f"'{run.path}' was trained on all classes equally, so it is no specialist.")
        for name in names:
            if name not in known:
                raise MismatchError(
                    f"specialist '{run.path}' has class '{name}', and the generalist '{first.path}' does not; "
                    f"{nearest(name, known)}"
                )
        classes = tuple(known[name] for name in names)
        weight = 1.0 if weights is None else weights[number]
        expert, has_dustbin = as_teacher(run, trust=trust), data["rest"] == "dustbin"
        # one with a dustbin has its special classes in the order of `names`, and no others to reorder
        expert = expert if has_dustbin else reorder_classes(expert, first.classes)
        experts.append(Specialist(expert, classes, has_dustbin, weight))
    return Specialists(first, experts, trust=trust, **arguments)
