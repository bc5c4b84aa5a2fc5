"""Teachers from folders: the network of a run, the members of an ensemble's folder, or a target store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from instar.errors import ConfigError, MismatchError, RunError, nearest
from instar.models.causal_lm import TRANSFORMERS_PREFIX, CausalLM
from instar.models.trained import lend_network, load_model, network_of
from instar.runs.run import Run
from instar.targets.manifest import MANIFEST_FILE
from instar.targets.store import TargetStore
from instar.teachers.conversion import as_teacher
from instar.teachers.ensemble import Ensemble
from instar.teachers.module import Module
from instar.teachers.reordered import reorder_classes
from instar.teachers.specialists import Specialist, Specialists
from instar.teachers.teacher import Teacher

ENSEMBLE = "ensemble"
"""The model's name in the run folder of an ensemble: its teachers are the members, and it has no weights."""

SPECIALISTS = "specialists"
"""The same where the first teacher is a generalist, and the others are its specialists."""

MAX_NESTED_FOLDERS = 10
"""Depth of ensembles whose members are ensembles."""

_OUTER: ContextVar[tuple[Path, ...]] = ContextVar("_OUTER", default=())
"""Folders that are being opened, each as a member of the one before it."""


@as_teacher.register(str)
@as_teacher.register(Path)
def _of_path(thing: str | Path, *, trust: bool = False) -> Teacher:
    if isinstance(thing, str) and thing.startswith(TRANSFORMERS_PREFIX):
        return Module(CausalLM(thing.removeprefix(TRANSFORMERS_PREFIX)))
    is_store = os.path.isfile(os.path.join(thing, MANIFEST_FILE))
    return as_teacher(TargetStore(thing) if is_store else Run(thing), trust=trust)


@as_teacher.register(Run)
def _of_run(run: Run, *, trust: bool = False) -> Teacher:
    run.require_complete()
    model = run.config["model"]
    if model["name"] not in (ENSEMBLE, SPECIALISTS):
        return Module(load_model(run, trust=trust), run.classes)
    with refuse_nesting(run.path):
        members = [lend_network(member, network_of(run)) for member in run.members()]
        if model["name"] == ENSEMBLE:
            return _same_as_before(Ensemble(members, run.config["combine"], trust=trust), run)
        generalist, *specialists = members
        return _same_as_before(make_specialists(generalist, specialists, trust=trust, **model["arguments"]), run)


@contextmanager
def refuse_nesting(path: Path) -> Iterator[None]:
    """Remember that the folder of an ensemble is being opened or made, until its members are open.

    Raises:
        RunError: when it is a member of itself, or too many such folders are nested.
    """
    folder, outer = path.resolve(), _OUTER.get()
    if folder in outer:
        raise RunError(f"'{path}' is a member of itself, or of one of its members; make it anew in a new folder.")
    if len(outer) == MAX_NESTED_FOLDERS:
        raise RunError(
            f"'{path}' is inside more than {MAX_NESTED_FOLDERS} other ensembles; combine its members directly."
        )
    token = _OUTER.set((*outer, folder))
    try:
        yield
    finally:
        _OUTER.reset(token)


def _same_as_before(together: Teacher, run: Run) -> Teacher:
    if together.fingerprint() != run.fingerprints["teacher"]:
        names = ", ".join(f"'{member}'" for member in run.members())
        raise RunError(
            f"'{run.path}' stands for other models than those in its members' folders now ({names}): their fingerprint "
            "differs; put the members back, or combine these in a new folder."
        )
    return together


def make_specialists(
    generalist: Run | Path,
    specialists: Sequence[Run | Path],
    *,
    weights: Sequence[float] | None = None,
    trust: bool = False,
    **arguments: Any,
) -> Specialists:
    """Make one teacher from the run of a generalist and those of its specialists; see `Specialists`.

    Args:
        generalist: its run folder.
        specialists: their run folders, which record the classes that they were trained for.
        weights: one per specialist; None weighs all alike.
        trust: allow model classes outside `instar.models`.
        arguments: of `Specialists`.

    Raises:
        ConfigError: when there is not one weight per specialist.
        MismatchError: when a specialist has classes that the generalist does not have, or is none.
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
            raise MismatchError(f"'{run.path}' was trained on all classes alike, and is no specialist.")
        for name in names:
            if name not in known:
                raise MismatchError(
                    f"specialist '{run.path}' has class '{name}', and the generalist '{first.path}' does not; "
                    f"{nearest(name, known)}"
                )
        classes = tuple(known[name] for name in names)
        weight = 1.0 if weights is None else weights[number]
        expert, has_dustbin = as_teacher(run, trust=trust), data["rest"] == "dustbin"
        expert = expert if has_dustbin else reorder_classes(expert, first.classes)
        experts.append(Specialist(expert, classes, has_dustbin, weight))
    return Specialists(first, experts, trust=trust, **arguments)
