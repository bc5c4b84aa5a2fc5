"""Phases of one training: each is a run that starts from the weights of the one before it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from instar.config import RunConfig, TrainingConfig, validate
from instar.data.views.view import View
from instar.errors import ConfigError, InstarError, RunError, nearest
from instar.models.trained import TrainedRun
from instar.nested import merge_settings, read_yaml
from instar.objectives.notation import as_objective
from instar.objectives.values import Need
from instar.runs.phases import MAX_PHASES, PHASES_FOLDER, earlier_phases, phase_folders
from instar.runs.run import Run
from instar.stages.arguments import target_settings
from instar.stages.configuration import run_settings
from instar.stages.in_order import load_once, run_in_order
from instar.stages.stage import Stage

Phases = str | Path | Sequence[Mapping[str, Any]]
"""Settings of each phase in order, or a YAML file with a list of them under `phases`."""

PHASE_SETTINGS = ("objective", "views", "num_views", "targets", "store", "training")
"""Settings that a phase may have of its own, beside those of its training by name."""


def train_phases(stage: Stage, phases: Phases) -> TrainedRun:
    """Train the phases that are missing, and return the run of the last.

    Before the first phase trains, every phase is made ready and tried; later ones have other weights then.

    Args:
        stage: what all phases share; its folder is that of the last phase.
        phases: settings of each phase.

    Raises:
        NonFiniteError: names the phase that diverged; those before it are kept.
        RunError: if the folder holds other phases.
        InstarError: in one sentence, for everything else that the caller can mend.
    """
    stages = plan_phases(load_once(stage), phases)
    refuse_other_phases(stages)
    for number, phase in enumerate(stages, 1):
        if not (phase.out / "result.json").is_file():
            # a later phase starts from weights that are not there yet, and which fit its model
            alone = {} if number == 1 else {"start": None}
            try:
                replace(phase, config=phase.config.model_copy(update=alone)).rehearse()
            except InstarError as error:
                raise type(error)(f"phase {number}: {error}") from None
    *_, last = run_in_order("phase", stages, 1)
    return last


def plan_phases(stage: Stage, phases: Phases) -> list[Stage]:
    """Return the stages of phases in order; each but the first starts from the run of the one before it.

    A phase without a term that uses the teacher has no teacher.

    Args:
        stage: what all phases share, and what a phase without the setting has; its folder is that of the last phase.
        phases: settings of each phase.

    Raises:
        ConfigError: for a setting that is unknown or that phases share; names the phase.
    """
    settings = read_phases(phases)
    stages: list[Stage] = []
    for number, (values, out) in enumerate(zip(settings, phase_folders(stage.out, len(settings)), strict=True), 1):
        try:
            made = _make_stage(replace(stage, out=out), values)
        except ConfigError as error:
            raise ConfigError(f"phase {number}: {error}") from None
        stages.append(made if number == 1 else _start_from(made, stages[-1].out))
    if not any(made.config.teachers for made in stages):
        raise ConfigError("no phase has a term with a teacher; add one, such as SoftTargets(4).")
    return stages


def read_phases(phases: Phases) -> list[dict[str, Any]]:
    """Return the settings of each phase.

    Raises:
        ConfigError: if they are no list of mappings, or the file holds something else beside them.

    >>> read_phases([{"objective": "SoftTargets(4)", "epochs": 3}])
    [{'objective': 'SoftTargets(4)', 'epochs': 3}]
    """
    where = "phases"
    if isinstance(phases, str | Path):
        where, content = f"the phases in '{phases}'", read_yaml(phases)
        for name in content.keys() - {"phases"}:
            raise ConfigError(f"'{phases}' has the key '{name}'; {nearest(str(name), ['phases'])}")
        phases = content.get("phases") or ()
    is_list = isinstance(phases, Sequence) and not isinstance(phases, str)
    if not is_list or not 0 < len(phases) <= MAX_PHASES or not all(isinstance(one, Mapping) for one in phases):
        raise ConfigError(f"{where} must be a list of settings for each phase, such as [{{'epochs': 10}}].")
    return [{str(name): value for name, value in one.items()} for one in phases]


def refuse_other_phases(stages: Sequence[Stage]) -> None:
    """Refuse a folder that holds more or fewer phases; each run folder refuses other settings by itself.

    Raises:
        RunError: names the folder.
    """
    out, wanted = stages[-1].out, {stage.out.name for stage in stages[:-1]}
    inside = out / PHASES_FOLDER
    others = sorted(name for name in (os.listdir(inside) if inside.is_dir() else ()) if name[0] != ".")
    for name in others:
        if name not in wanted:
            raise RunError(f"'{inside / name}' is another phase than {_count(len(stages))}; choose another folder.")
    if (out / "config.json").is_file():
        began = len(earlier_phases(out, Run(out).config.get("start")))
        if began != len(wanted):
            raise RunError(
                f"'{out}' contains a run of {_count(began + 1)}, and {_count(len(stages))} are given; choose another "
                "folder, or delete this one."
            )


def _count(phases: int) -> str:
    return "1 phase" if phases == 1 else f"{phases} phases"


def _refuse_settings(settings: Mapping[str, Any]) -> None:
    allowed = (*PHASE_SETTINGS, *TrainingConfig.model_fields)
    for name in settings:
        if name in allowed:
            continue
        if name == "start":
            raise ConfigError("a phase starts from the one before it; give that of the first as start= (--start).")
        if name in RunConfig.model_fields:
            raise ConfigError(f"all phases share the setting '{name}'; give it for all of them.")
        raise ConfigError(f"'{name}' is not a setting of a phase; {nearest(name, allowed)}")
    inner = settings.get("training")
    if twice := next((name for name in settings if isinstance(inner, Mapping) and name in inner), None):
        raise ConfigError(f"'{twice}' stands beside 'training' and in it; give it once.")


def _make_stage(stage: Stage, settings: Mapping[str, Any]) -> Stage:
    _refuse_settings(settings)
    nested = {name: value for name, value in settings.items() if name == "training"}
    own = {name: value for name, value in settings.items() if name not in ("training", "targets", "store")}
    nested = merge_settings(run_settings("a phase", own), nested)
    # only what was set, because views that nobody set are those of a target store
    values = merge_settings(stage.config.model_dump(exclude_unset=True), nested)
    given = stage.given
    if "objective" in settings:
        given = replace(given, objective=as_objective(settings["objective"], trust=stage.trust))
    if "views" in settings:
        given = replace(given, views=settings["views"] if isinstance(settings["views"], View) else None)
    objective = given.objective or as_objective(values.get("objective", ""), trust=stage.trust)
    if Need.TEACHER not in objective.needs:
        values |= {"teachers": (), "targets": "online", "store": {}}
        given = replace(given, teacher=None)
    else:
        values |= {"store": {}} | target_settings(settings["targets"]) if "targets" in settings else {}
        values |= merge_settings({"store": values.get("store", {})}, {"store": settings.get("store", {})})
    return replace(stage, config=validate(RunConfig, values), given=given)


def _start_from(stage: Stage, before: Path) -> Stage:
    config = stage.config.model_copy(update={"start": str(before), "start_layers": {}})
    # the teacher is open already, so what was typed as the student is trusted in the folders of its phases alone
    trust = stage.trust or (stage.trust_model and (stage.given.teacher is not None or not config.teachers))
    return replace(stage, config=config, given=replace(stage.given, start=None), trust=trust)
