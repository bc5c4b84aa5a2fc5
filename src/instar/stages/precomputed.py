"""Targets that are computed before the first step: in memory, or on disk in a target store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from instar.config import RunConfig
from instar.data.loader import Loader
from instar.data.views.identity import Identity
from instar.errors import ConfigError
from instar.stages.compatibility import refuse_unfit
from instar.stages.components import Components
from instar.stages.labelling import Labelling
from instar.stages.teacher_description import describe_teacher
from instar.stages.weights import few_columns
from instar.teachers.remembered import Remembered
from instar.teachers.stored import Stored
from instar.teachers.teacher import Teacher
from instar.training.progress import ProgressBar

MAX_REMEMBERED_BYTES = 256 << 20
"""Size of the targets that a run keeps in memory without being asked to."""


def plan_labelling(components: Components, loader: Loader, layers: tuple[str, ...] = ()) -> Labelling | None:
    """Return what the teacher labels before the first step; None if no target is stored on disk.

    Args:
        components: components of the run.
        loader: its batches.
        layers: layers of the teacher that terms of the objective compare.

    Raises:
        InstarError: when the objective needs what will not be stored.
    """
    teacher, config, objective = components.teacher, components.config, components.objective
    if teacher is None or config.targets != "store":
        return None
    columns, precision = few_columns(components.data), config.training.teacher_precision
    named = describe_teacher(teacher, config.teachers, config.combine, precision, columns)
    choices = {"train": config.store}
    labelling = Labelling(teacher, named, components.data, {"train": loader}, choices, layers=layers)
    part = labelling.manifest.parts["train"]
    # some classes hold at one temperature only: that of the objective, if it has one alone
    if part.temperature is not None and config.store.temperature is None:
        if len(objective.temperatures) > 1:
            temperatures = ", ".join(f"{temperature:g}" for temperature in sorted(objective.temperatures))
            raise ConfigError(
                f"the objective needs temperatures {temperatures}; choose the one to store (store.temperature)."
            )
        choice = config.store.model_copy(update={"temperature": min(objective.temperatures)})
        labelling = replace(labelling, choices={"train": choice})
        part = labelling.manifest.parts["train"]
    # tried on what the store will return, which may lack classes or temperatures that the teacher has
    batch = loader.batch(0).part(0, 2)
    record = part.record(loader.samples.num_classes)
    records = record.encode(teacher.targets(batch), part.draws(batch.ids, batch.view))
    stored = record.decode(records)
    refuse_unfit(objective, batch, stored, stored.num_classes)
    return labelling


def precompute_targets(
    teacher: Teacher,
    config: RunConfig,
    loader: Loader,
    labelling: Labelling | None,
    folder: Path,
    *,
    show: bool = True,
) -> Teacher:
    """Query the teacher now about all samples and views, and return the teacher that the loop queries.

    Args:
        teacher: on the device of the loader.
        config: says where targets are stored; "online": nowhere, and the teacher itself is returned, unless it answers
            by row and no view changes the samples, so that its targets are the same in every epoch.
        loader: its samples and views.
        labelling: result of `plan_labelling`.
        folder: run folder, which holds the store unless the configuration names another place.
        show: show progress on stderr.
    """
    title = f"{folder.name}: teacher"
    if config.targets == "memory" or (config.targets == "online" and _is_queried_once(teacher, loader)):
        with ProgressBar(title, len(loader.samples) * (loader.num_views or 1), show=show) as bar:
            return Remembered(teacher, loader, bar.advance)
    if labelling is None:
        return teacher
    # other runs share a folder of stores; in the run folder there is only this run's own
    where = config.store.folder
    store = labelling.start(folder / "targets") if where is None else labelling.start_among(Path(where))
    labelling.complete(store, title, show=show)
    return Stored(store)


def _is_queried_once(teacher: Teacher, loader: Loader) -> bool:
    bytes_ = len(loader.samples) * loader.samples.num_classes * 4  # of float32
    return teacher.answers_by_row and isinstance(loader.views, Identity) and bytes_ <= MAX_REMEMBERED_BYTES
