"""Where a run's targets come from: the teacher itself, its answers in memory, or those in a target store."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from instar.config import RunConfig
from instar.data import Batch, Data, Loader
from instar.errors import ConfigError, nearest
from instar.objectives import Objective
from instar.paths import local_path
from instar.stages.labelling import Labelling, answering
from instar.targets import Targets
from instar.teachers import Remembered, Stored, Teacher
from instar.training import ProgressBar


def kept_where(targets: str | Path, store: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings of a run for what a user says about targets: a way to have them, or a folder of stores.

    Raises:
        ConfigError: for what looks like a way, and is none.

    >>> kept_where("runs/targets")
    {'targets': 'store', 'store': {'folder': 'runs/targets'}}
    >>> kept_where("memroy")
    Traceback (most recent call last):
    instar.errors.ConfigError: targets 'memroy' is unknown; did you mean 'memory'? A folder is written './memroy'.
    """
    local_path(targets, "targets")
    where, ways = str(targets), ("online", "memory", "store")
    if where in ways:
        return {"targets": where, "store": dict(store or {})}
    if not os.path.exists(where) and difflib.get_close_matches(where, ways):
        raise ConfigError(f"targets '{where}' is unknown; {nearest(where, ways)} A folder is written './{where}'.")
    return {"targets": "store", "store": {**(store or {}), "folder": where}}


def shared_targets(folder: Path, targets: str) -> dict[str, Any]:
    """Return the same for several runs in a folder; in float32, so that nothing depends on where targets come from."""
    where = str(folder / "targets") if targets == "store" else targets
    return kept_where(where, {"dtype": "float32"})


def plan_labelling(
    teacher: Teacher, config: RunConfig, objective: Objective, loader: Loader, data: Data
) -> Labelling | None:
    """Return what is to be labelled before the first step; none where nothing is keep_targets on disk.

    Raises:
        InstarError: when the objective needs what will not be keep_targets.
    """
    if config.targets != "store":
        return None
    named = answering(teacher, config.teachers, config.combine, config.training.teacher_precision)
    labelling = Labelling(teacher, named, data, {"train": loader}, {"train": config.store})
    part = labelling.manifest.parts["train"]
    if part.temperature is not None and config.store.temperature is None:
        if len(objective.temperatures) > 1:
            asked = ", ".join(f"{temperature:g}" for temperature in sorted(objective.temperatures))
            raise ConfigError(f"the objective asks at temperatures {asked}; name the one to keep (store.temperature).")
        choice = config.store.model_copy(update={"temperature": min(objective.temperatures)})
        labelling = replace(labelling, choices={"train": choice})
        part = labelling.manifest.parts["train"]
    batch = loader.batch(0).part(0, 2)
    record = part.record(data.train.num_classes)
    records = record.encode(teacher.targets(batch), part.draws(batch.ids, batch.view))
    refuse_unfit(objective, batch, record.decode(records))
    return labelling


def keep_targets(
    teacher: Teacher,
    config: RunConfig,
    loader: Loader,
    labelling: Labelling | None,
    folder: Path,
    *,
    show: bool = True,
) -> Teacher:
    """Return whom the loop asks: the teacher, or its answers about all samples and views, asked for now.

    Args:
        teacher: on the device of the loader.
        config: says where answers are keep_targets.
        loader: its samples and views are what is keep_targets.
        labelling: from `plan_labelling`.
        folder: of the run; holds the store where the configuration names no other place.
        show: show progress on stderr.
    """
    title = f"{folder.name}: teacher"
    if config.targets == "memory":
        with ProgressBar(title, len(loader.samples) * (loader.num_views or 1), show=show) as bar:
            return Remembered(teacher, loader, bar.advance)
    if labelling is None:
        return teacher
    where = config.store.folder
    store = labelling.start(folder / "targets") if where is None else labelling.start_among(Path(where))
    labelling.complete(store, title, show=show)
    return Stored(store)


@torch.no_grad()
def refuse_unfit(objective: Objective, batch: Batch, targets: Targets | None) -> None:
    """Try an objective on a few targets, before the first step.

    Raises:
        MismatchError: when a term asks them for classes or a temperature that they do not hold.
    """
    if targets is not None:
        shape = (*batch.labels.shape, targets.num_classes)
        objective(torch.zeros(shape, device=batch.labels.device), batch, targets)
