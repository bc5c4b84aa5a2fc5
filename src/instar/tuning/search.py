"""Successive halving of a grid of objectives over seeds, in run folders that a killed search resumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.config import RunConfig, StoreConfig, validate
from instar.data.any_source import ARRAYS_SOURCE, are_objects
from instar.data.dataset import Data, load_data
from instar.data.loader import Loader
from instar.data.samples import Samples, is_labelled
from instar.data.views.notation import parse_views
from instar.errors import ConfigError, DataError, MismatchError, NonFiniteError, say
from instar.jobs.backends import parse_jobs
from instar.jobs.running import run_all
from instar.jobs.task import Job
from instar.models.build import build_network
from instar.models.foreign_readers import choose_reader
from instar.models.readers.notation import parse_reader
from instar.models.readers.reader import read_shape
from instar.objectives.notation import exact
from instar.runs.files import write_json
from instar.stages.components import adopt_store_views
from instar.stages.first_look import look_at
from instar.stages.given_teacher import choose_teacher, leave_out, match_data
from instar.stages.labelling import Labelling
from instar.stages.run_data import as_run, refuse_other_reading
from instar.stages.stage import Stage
from instar.stages.teacher_description import describe_teacher
from instar.stages.weights import choose_student_reader, few_columns
from instar.targets.manifest import PartDescription
from instar.teachers.reordered import reorder_classes
from instar.teachers.stored import Stored
from instar.training.scoring import choose_batch_size
from instar.tuning.cells import Cell, Grid, Setting
from instar.tuning.tuned import Tuned, as_command

LABELLING_BATCH_SIZE = 256


def seeds_by_rung(seeds: int) -> list[int]:
    """Return the number of seeds of a candidate after each rung: it doubles, up to all.

    >>> seeds_by_rung(5)
    [1, 2, 4, 5]
    """
    found = [1]
    while found[-1] < seeds:
        found.append(min(2 * found[-1], seeds))
    return found


def better_half(ranks: Sequence[tuple[float, ...]]) -> list[int]:
    """Return the indices of the lower half, rounded up and at least two, in order; ties go to the first.

    >>> better_half([(3.0,), (1.0,), (2.0,), (1.0,), (9.0,)])
    [1, 2, 3]
    """
    # two at least, so that the choice can be compared with a second candidate that has all seeds
    best = sorted(range(len(ranks)), key=ranks.__getitem__)
    return sorted(best[: max(2, math.ceil(len(ranks) / 2))])


@dataclass(frozen=True)
class Trial:
    """A stage that may diverge without ending the search.

    Args:
        stage: stage of the trial's run.
        scores: names of the validation scores that the search reads.
    """

    stage: Stage
    scores: tuple[str, ...]

    @property
    def out(self) -> Path:
        """Run folder, where a worker writes its log."""
        return self.stage.out

    def run(self) -> dict[str, float] | None:
        """Return the scores on the validation samples by name; None if training diverged."""
        try:
            found = self.stage.run().result["validation"]
        except NonFiniteError:
            return None
        scores = {name: found[name] for name in self.scores}
        # JSON holds null for an NLL that is not finite, which is as bad as training that diverged
        return None if None in scores.values() else scores


@dataclass(frozen=True)
class Search:
    """A grid of objectives, and the trials that compare them.

    Args:
        stage: what all trials share: settings without objective and seed, the data, and the folder of the search.
        teacher: teacher that fills the target store, or a list of several.
        grid: settings to compare.
        network: network of a teacher's run folder that needs it.

    Raises:
        ConfigError: if a setting in which trials differ is given.
    """

    stage: Stage
    teacher: Any
    grid: Grid
    network: nn.Module | str | None

    def __post_init__(self) -> None:
        for name in ("objective", "targets", "store", "judge_test"):
            if name in self.stage.config.model_fields_set:
                raise ConfigError(f"tune chooses the setting '{name}' of its trials; leave it out.")

    def run(self, jobs: int | str = 1) -> Tuned:
        """Run the trials that are missing; see `tune`."""
        here, config, out = parse_jobs(jobs).here, self.stage.config, self.stage.out
        data = self.stage.given.data or load_data(config.data, trust=self.stage.trust)
        # trials see the store alone, so only here are the data compared with those of a teacher's run
        for run in filter(None, map(as_run, config.teachers)):
            refuse_other_reading(run, data)
        if not is_labelled(data.train):
            raise DataError("tune trains a baseline on labels, but no training sample has a label.")
        if data.held_out is None or not is_labelled(data.held_out):
            raise DataError("tune needs a labelled validation split, and there is none; set data.validation above 0.")
        # refuse a wrong model or store once, and not in every trial
        trust = self.stage.trust or self.stage.trust_model
        own = self.stage.given.reader or parse_reader(
            choose_reader(config.model, config.reader, data.train.source), trust=trust
        )
        reader = choose_student_reader(None, own, data)
        shape = read_shape(reader, reader.collect(data.train.source.shape))
        build_network(config.model, shape, data.classes, trust=trust, sizes=reader.sizes())
        validation, (stored, data) = data.held_out, self._label(data)
        shown = adopt_store_views(stored, config)
        loader = self._make_loader(data.train, shown)
        stored.targets(next(loader.in_order()).part(0, 2))
        # trials are quiet about the teacher, so the search looks at it once
        look = look_at(stored, data, loader)
        if self.stage.show:
            look.tell()
        # the test split stays unseen: a choice among trials that knew it would be optimistic about it
        shared = shown.model_copy(update={"teachers": (str(stored.store.path),), "judge_test": False})
        # other processes read the decoded data from the cache, but objects exist only here and travel with each trial
        is_sent = here or are_objects(data.config.source)
        given = replace(self.stage.given, data=data if is_sent else None, objective=None)
        stage = replace(self.stage, config=shared, given=given, show=self.stage.show and here)
        cells, baseline = self._halve(stage, jobs)
        tuned = Tuned(self.grid.criterion, len(validation), cells, baseline, first_look=look.as_dict())
        if data.config.source != ARRAYS_SOURCE:
            # a teacher that was an object has no folder, but its store is a teacher too
            teachers = config.teachers or shared.teachers
            command = as_command(config, tuned.objective, teachers, out / "student", trust=self.stage.trust)
            tuned = replace(tuned, command=command)
        write_json(out / "tune.json", tuned.as_dict())
        return tuned

    def _label(self, data: Data) -> tuple[Stored, Data]:
        """Return the store that all trials learn from, a new one or the teacher itself, and the data that it labels."""
        config, temperatures = self.stage.config, self.grid.temperatures
        names, teacher = choose_teacher(self.teacher, config.combine, network=self.network, trust=self.stage.trust)
        teacher = reorder_classes(match_data(teacher, data), data.classes)
        data = leave_out(data, teacher)
        # a store knows no other views than its own, and has all its targets already
        if isinstance(teacher, Stored):
            self._refuse_other_temperatures(
                f"'{teacher.store.path}'", next(iter(teacher.store.manifest.parts.values()))
            )
            return teacher, data
        device, precision = make_accelerator().device, config.training.teacher_precision
        teacher.prepare(Execution(device, precision, max_convolved_samples=LABELLING_BATCH_SIZE))
        loaders = {"train": self._make_loader(data.train, config, device)}
        if data.held_out is not None and teacher.knows(data.held_out):  # for the agreement of trials with the teacher
            size = choose_batch_size(data.held_out, LABELLING_BATCH_SIZE)
            loaders["validation"] = Loader(data.held_out, size, seed=config.seed, device=device)
        # in float32, so that scores do not depend on whether targets are stored or live
        kept = StoreConfig(dtype="float32", temperature=temperatures[0] if len(temperatures) == 1 else None)
        labelling = Labelling(
            teacher,
            describe_teacher(teacher, names, config.combine, precision, few_columns(data)),
            data,
            loaders,
            {"train": kept, "validation": StoreConfig(dtype="float32")},
        )
        # two samples tell at which temperatures the targets hold, so this comes before the long labelling
        self._refuse_other_temperatures("the teacher", labelling.manifest.parts["train"])
        store = labelling.start(self.stage.out / "targets")
        labelling.complete(store, str(store.path), show=self.stage.show)
        return Stored(store), data

    def _make_loader(self, samples: Samples, config: RunConfig, device: torch.device | str = "cpu") -> Loader:
        return Loader(
            samples,
            choose_batch_size(samples, LABELLING_BATCH_SIZE),
            seed=config.seed,
            views=self.stage.given.views or parse_views(config.views, trust=self.stage.trust),
            num_views=config.num_views,
            view_seed=config.view_seed,
            device=device,
        )

    def _refuse_other_temperatures(self, who: str, part: PartDescription) -> None:
        temperatures = self.grid.temperatures
        if temperatures and part.temperature is not None and set(temperatures) != {part.temperature}:
            others = ", ".join(exact(one) for one in temperatures if one != part.temperature)
            raise MismatchError(
                f"{who} has targets at temperature {exact(part.temperature)} only, and not at {others}; logits of one "
                "teacher, or of a geometric mean, serve every temperature, so combine several with combine=geometric "
                "(--combine geometric, also of instar ensemble), or search at that temperature alone."
            )

    def _halve(self, stage: Stage, jobs: int | str) -> tuple[tuple[Cell, ...], Cell]:
        # a rung adds seeds, not epochs: with more epochs most schedules have other rates from the first step on, so a
        # longer trial would have to start again
        seeds, left = self.grid.seeds, self.grid.settings
        baseline = self.grid.baseline
        cells = {setting: Cell(setting) for setting in (baseline, *left)}
        for rung, count in enumerate(seeds_by_rung(seeds), start=1):
            if self.stage.show:
                say(f"rung {rung}: {len(left)} candidates, {count} of {seeds} seeds")
            # seeds 1000 s + k, as in a lineage, so that searches of seeds 0, 1, 2, ... have no trial in common
            new = [(setting, k) for setting in (baseline, *left) for k in range(len(cells[setting].seeds), count)]
            trials = [_make_trial(stage, setting, 1000 * stage.config.seed + k) for setting, k in new]
            scores = run_all([Job(trial.run, trial.out) for trial in trials], jobs)
            for (setting, _), trial, found in zip(new, trials, scores, strict=True):
                cells[setting] = cells[setting].with_trial(trial.out, trial.stage.config.seed, found)
            ranks = [cells[setting].rank(self.grid.criterion) for setting in left]
            # the last rung drops nobody for its score: all of them have all seeds, and only the best is chosen
            kept = range(len(left)) if count == seeds else better_half(ranks)
            staying = [left[place] for place in kept if not cells[left[place]].diverged]
            for setting in left:
                if setting not in staying:
                    cells[setting] = replace(cells[setting], dropped=rung)
            left = staying
            if not left or cells[baseline].diverged:
                who = "the baseline, labels alone," if left else "every candidate"
                raise NonFiniteError(f"{who} diverged in '{self.stage.out}'; lower training.learning_rate.")
        return tuple(cells[setting] for setting in self.grid.settings), cells[baseline]


def _make_trial(stage: Stage, setting: Setting, seed: int) -> Trial:
    values = stage.config.model_dump() | {"objective": setting.objective, "seed": seed}
    if setting.weight is None:
        values["teachers"] = ()  # with one, each trial of the baseline would be compared with it for nothing
    # the folder is named after the setting, not after its place in the grid, so that a wider grid finds it again
    out = stage.out / f"{setting.name}-seed-{seed}"
    return Trial(replace(stage, config=validate(RunConfig, values), out=out), setting.scores)
