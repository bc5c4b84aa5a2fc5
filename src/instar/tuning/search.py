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
from instar.data.dataset import ARRAYS_SOURCE, Data, load_data
from instar.data.loader import Loader
from instar.data.samples import Samples, is_labelled
from instar.data.views import parse_views
from instar.errors import ConfigError, DataError, MismatchError, NonFiniteError, say
from instar.jobs.backends import parse_jobs
from instar.jobs.running import run_all
from instar.jobs.task import Job
from instar.models.build import build_network
from instar.objectives.notation import exact
from instar.runs.files import write_json
from instar.stages.components import GivenObjects, adopt_store_views
from instar.stages.first_look import look_at
from instar.stages.given_teacher import choose_teacher
from instar.stages.labelling import Labelling, describe_teacher
from instar.stages.run_data import as_run, refuse_other_reading
from instar.stages.stage import Stage
from instar.stages.weights import few_inputs
from instar.targets.manifest import PartDescription
from instar.teachers.reordered import reorder_classes
from instar.teachers.stored import Stored
from instar.training.scoring import choose_batch_size
from instar.tuning.cells import BASELINE, Cell, Criterion, Setting
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
    best = sorted(range(len(ranks)), key=ranks.__getitem__)
    return sorted(best[: max(2, math.ceil(len(ranks) / 2))])


@dataclass(frozen=True)
class Trial:
    """A stage that may diverge without ending the search.

    Args:
        stage: stage of the trial's run.
    """

    stage: Stage

    @property
    def out(self) -> Path:
        """Run folder, where a worker writes its log."""
        return self.stage.out

    def run(self) -> dict[str, float] | None:
        """Return error and NLL on the validation samples; None if training diverged."""
        try:
            found = self.stage.run().result["validation"]
        except NonFiniteError:
            return None
        return None if found["nll"] is None else {"error": found["error"], "nll": found["nll"]}


@dataclass(frozen=True)
class Search:
    """A grid of objectives, and the trials that compare them.

    Args:
        config: configuration of the trials, without objective and seed.
        out: folder of the search.
        teacher: teacher that fills the target store, or a list of several.
        temperatures: temperatures of the grid.
        weights: label weights of the grid.
        seeds: number of seeds of the candidates that reach the last rung.
        criterion: score to minimise.
        data: data, if they are already loaded.
        network: network of a teacher's run folder that needs it.
        trust: allow model classes outside `instar.models`.
        trust_model: allow only the student's class, which the user named; a teacher's folder may be a stranger's.
        show: show progress on stderr.

    Raises:
        ConfigError: if there is nothing to choose from, no teacher, or a setting in which trials differ is given.
    """

    config: RunConfig
    out: Path
    teacher: Any
    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    seeds: int
    criterion: Criterion
    data: Data | None
    network: nn.Module | str | None
    trust: bool
    trust_model: bool
    show: bool

    def __post_init__(self) -> None:
        for name, values, least in (
            ("temperatures", self.temperatures, math.ulp(0.0)),  # the least number above 0
            ("weights", self.weights, 0.0),
        ):
            if not values or len(set(values)) < len(values) or not all(least <= one < math.inf for one in values):
                bound = "above 0" if least else "of at least 0"
                got = ", ".join(map(exact, values)) or "none"
                raise ConfigError(f"{name} must be different numbers {bound}, got {got}.")
        if len(self.temperatures) * len(self.weights) < 2:
            raise ConfigError("one temperature with one weight leaves nothing to choose; give more of either.")
        if self.seeds < 2:
            raise ConfigError(f"seeds must be at least 2, because one seed has no interval, got {self.seeds}.")
        if self.criterion not in ("error", "nll"):
            raise ConfigError(f"criterion must be error or nll, got '{self.criterion}'.")
        for name in ("objective", "targets", "store", "judge_test"):
            if name in self.config.model_fields_set:
                raise ConfigError(f"tune chooses the setting '{name}' of its trials; leave it out.")

    def run(self, jobs: int | str = 1) -> Tuned:
        """Run the trials that are missing; see `tune`."""
        here = parse_jobs(jobs).here
        data = self.data or load_data(self.config.data)
        for run in filter(None, map(as_run, self.config.teachers)):
            refuse_other_reading(run, data)
        if not is_labelled(data.train):
            raise DataError("tune trains a baseline on labels, but no training sample has a label.")
        if data.held_out is None or not is_labelled(data.held_out):
            raise DataError("tune needs a labelled validation split, and there is none; set data.validation above 0.")
        # refuse a wrong model or store once, and not in every trial
        trust = self.trust or self.trust_model
        build_network(self.config.model, data.train.input_shape, data.classes, trust=trust)
        stored = self._label(data)
        config = adopt_store_views(stored, self.config)
        loader = _labelling_loader(data.train, config)
        stored.targets(next(loader.in_order()).part(0, 2))
        look = look_at(stored, data, loader)
        if self.show:
            look.tell()
        config = config.model_copy(update={"teachers": (str(stored.store.path),), "judge_test": False})
        # other processes read the decoded data from the cache
        given = GivenObjects(data if here or data.config.source == ARRAYS_SOURCE else None)
        show = self.show and here
        stage = Stage(config, self.out, given, trust=self.trust, trust_model=self.trust_model, show=show)
        cells, baseline = self._halve(stage, jobs)
        tuned = Tuned(self.criterion, len(data.held_out), cells, baseline, first_look=look.as_dict())
        if data.config.source != ARRAYS_SOURCE:
            teachers = self.config.teachers or config.teachers
            command = as_command(self.config, tuned.objective, teachers, self.out / "student", trust=self.trust)
            tuned = replace(tuned, command=command)
        write_json(self.out / "tune.json", tuned.as_dict())
        return tuned

    def _label(self, data: Data) -> Stored:
        """Return the store that all trials learn from: the teacher itself if it is a store, or a new one."""
        combine = self.config.combine
        names, teacher = choose_teacher(self.teacher, combine, network=self.network, trust=self.trust)
        teacher = reorder_classes(teacher, data.classes)
        if isinstance(teacher, Stored):
            self._refuse_other_temperatures(
                f"'{teacher.store.path}'", next(iter(teacher.store.manifest.parts.values()))
            )
            return teacher
        device, precision = make_accelerator().device, self.config.training.teacher_precision
        teacher.prepare(Execution(device, precision, max_convolved_samples=LABELLING_BATCH_SIZE))
        loaders = {"train": _labelling_loader(data.train, self.config, device)}
        if data.held_out is not None and teacher.knows(data.held_out):  # for the agreement of trials with the teacher
            size = choose_batch_size(data.held_out, LABELLING_BATCH_SIZE)
            loaders["validation"] = Loader(data.held_out, size, seed=self.config.seed, device=device)
        # in float32, so that scores do not depend on whether targets are stored or live
        kept = StoreConfig(dtype="float32", temperature=self.temperatures[0] if len(self.temperatures) == 1 else None)
        labelling = Labelling(
            teacher,
            describe_teacher(teacher, names, combine, precision, few_inputs(data)),
            data,
            loaders,
            {"train": kept, "validation": StoreConfig(dtype="float32")},
        )
        self._refuse_other_temperatures("the teacher", labelling.manifest.parts["train"])
        store = labelling.start(self.out / "targets")
        labelling.complete(store, str(store.path), show=self.show)
        return Stored(store)

    def _refuse_other_temperatures(self, who: str, part: PartDescription) -> None:
        if part.temperature is not None and set(self.temperatures) != {part.temperature}:
            others = ", ".join(exact(one) for one in self.temperatures if one != part.temperature)
            raise MismatchError(
                f"{who} has targets at temperature {exact(part.temperature)} only, and not at {others}; logits of one "
                "teacher, or of a geometric mean, serve every temperature."
            )

    def _halve(self, stage: Stage, jobs: int | str) -> tuple[tuple[Cell, ...], Cell]:
        """Train rung after rung; return the cells of the grid, and the cell of labels alone."""
        # a rung adds seeds, not epochs: with more epochs most schedules have other rates from the first step on, so a
        # longer trial would have to start again
        grid = [Setting(temperature, weight) for temperature in self.temperatures for weight in self.weights]
        cells = {setting: Cell(setting) for setting in (BASELINE, *grid)}
        left = grid
        for rung, count in enumerate(seeds_by_rung(self.seeds), start=1):
            if self.show:
                say(f"rung {rung}: {len(left)} candidates, {count} of {self.seeds} seeds")
            new = [(setting, k) for setting in (BASELINE, *left) for k in range(len(cells[setting].seeds), count)]
            trials = [self._trial(stage, setting, 1000 * self.config.seed + k) for setting, k in new]
            scores = run_all([Job(trial.run, trial.out) for trial in trials], jobs)
            for (setting, _), trial, score in zip(new, trials, scores, strict=True):
                cells[setting] = cells[setting].with_trial(trial.out, trial.stage.config.seed, score)
            ranks = [cells[setting].rank(self.criterion) for setting in left]
            kept = range(len(left)) if count == self.seeds else better_half(ranks)
            staying = [left[place] for place in kept if not cells[left[place]].diverged]
            for setting in left:
                if setting not in staying:
                    cells[setting] = replace(cells[setting], dropped=rung)
            left = staying
            if not left or cells[BASELINE].diverged:
                who = "the baseline, labels alone," if left else "every candidate"
                raise NonFiniteError(f"{who} diverged in '{self.out}'; lower training.learning_rate.")
        return tuple(cells[setting] for setting in grid), cells[BASELINE]

    def _trial(self, stage: Stage, setting: Setting, seed: int) -> Trial:
        values = stage.config.model_dump() | {"objective": setting.objective, "seed": seed}
        if setting is BASELINE:
            values["teachers"] = ()
        out = self.out / f"{setting.name}-seed-{seed}"
        return Trial(replace(stage, config=validate(RunConfig, values), out=out))


def _labelling_loader(samples: Samples, config: RunConfig, device: torch.device | str = "cpu") -> Loader:
    """Return a loader of the training samples in the views of a configuration, for the teacher to label."""
    return Loader(
        samples,
        choose_batch_size(samples, LABELLING_BATCH_SIZE),
        seed=config.seed,
        views=parse_views(config.views),
        num_views=config.num_views,
        view_seed=config.view_seed,
        device=device,
    )
