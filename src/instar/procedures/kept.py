"""Where a run's targets come from: the teacher itself, its answers in memory, or those in a target store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from instar.config import RunConfig
from instar.data import Batch, Data, Loader
from instar.errors import ConfigError
from instar.objectives import Objective
from instar.procedures.labelling import Labelling, answering
from instar.seeds import Draws
from instar.targets import Targets
from instar.teachers import Remembered, Stored, Teacher
from instar.training import ProgressBar


def kept_where(targets: str, store: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings of a run for what a user says about targets: a way to have them, or a folder of stores.

    >>> kept_where("runs/targets")
    {'targets': 'store', 'store': {'folder': 'runs/targets'}}
    """
    if targets in ("online", "memory", "store"):
        return {"targets": targets, "store": dict(store or {})}
    return {"targets": "store", "store": {**(store or {}), "folder": targets}}


def shared_targets(folder: Path, targets: str) -> dict[str, Any]:
    """Return the same for several runs in a folder; in float32, so that nothing depends on where targets come from."""
    where = str(folder / "targets") if targets == "store" else targets
    return kept_where(where, {"dtype": "float32"})


def kept(
    teacher: Teacher,
    config: RunConfig,
    objective: Objective,
    loader: Loader,
    data: Data,
    folder: Path,
    *,
    show: bool = True,
) -> Teacher:
    """Return whom the loop asks: the teacher, or its answers about all samples and views, asked for before.

    Args:
        teacher: on the device of the loader.
        config: says where answers are kept.
        objective: must be able to do with what is kept.
        loader: its samples and views are what is kept.
        data: that they are from.
        folder: of the run; holds the store where the configuration names no other place.
        show: show progress on stderr.

    Raises:
        InstarError: before the teacher is asked, when the objective needs what will not be kept.
    """
    title = f"{folder.name}: teacher"
    if config.targets == "online":
        return teacher
    if config.targets == "memory":
        with ProgressBar(title, len(loader.samples) * (loader.num_views or 1), show=show) as bar:
            return Remembered(teacher, loader, bar.advance)
    choice = config.store
    if choice.temperature is None:
        if len(objective.temperatures) > 1:
            asked = ", ".join(f"{temperature:g}" for temperature in sorted(objective.temperatures))
            raise ConfigError(f"the objective asks at temperatures {asked}; name the one to keep (store.temperature).")
        choice = choice.model_copy(update={"temperature": min(objective.temperatures)})
    named = answering(teacher, config.teachers, config.combine, config.training.teacher_precision)
    labelling = Labelling(teacher, named, data, {"train": loader}, {"train": choice})
    part = labelling.plan().parts["train"]
    batch = loader.batch(0).part(0, 2)
    record = part.record(data.train.num_classes)
    draws = Draws(part.draw_seed, batch.ids, batch.view)
    refuse_unfit(objective, batch, record.decode(record.encode(teacher.targets(batch), draws)))
    in_run = choice.folder is None
    store = labelling.start(folder / "targets") if in_run else labelling.start_among(Path(choice.folder or ""))
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
