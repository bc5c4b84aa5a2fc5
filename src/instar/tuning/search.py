"""Successive halving of a grid of objectives over seeds, in run folders that are taken up where they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.config import RunConfig, StoreConfig, validate
from instar.data import Data, Loader, Samples, load_data, parse_views
from instar.data.dataset import ARRAYS
from instar.errors import ConfigError, DataError, MismatchError, NonFiniteError, say
from instar.jobs import parse_jobs, run_all
from instar.models import build_network
from instar.objectives import exact
from instar.runs.files import write_json
from instar.stages.components import GivenObjects, adopt_store_views, choose_teacher
from instar.stages.finish import is_labelled
from instar.stages.first_look import look_at
from instar.stages.labelling import Labelling, describe_teacher
from instar.stages.run_data import as_run, refuse_other_reading
from instar.stages.stage import Stage
from instar.targets import PartDescription
from instar.teachers import Stored, in_order_of
from instar.training import choose_batch_size
from instar.tuning.cells import LABELS, Cell, Criterion, Setting
from instar.tuning.tuned import Tuned, as_command

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
WEIGHTS = (0.0, 0.1, 0.5)

BATCH_SIZE = 256
"""Samples that the teacher is asked about at a time."""


def seeds_by_rung(seeds: int) -> list[int]:
    """Return how many seeds a candidate has after each rung: twice as many as before, up to all.

    >>> seeds_by_rung(5)
    [1, 2, 4, 5]
    """
    found = [1]
    while found[-1] < seeds:
        found.append(min(2 * found[-1], seeds))
    return found


def better_half(ranks: Sequence[tuple[float, ...]]) -> list[int]:
    """Return the places of the smaller half, rounded up and at least two, in order; of equals the first.

    >>> better_half([(3.0,), (1.0,), (2.0,), (1.0,), (9.0,)])
    [1, 2, 3]
    """
    best = sorted(range(len(ranks)), key=ranks.__getitem__)
    return sorted(best[: max(2, math.ceil(len(ranks) / 2))])


@dataclass(frozen=True)
class Trial:
    """A stage that may diverge without ending the search.

    Args:
        stage: of the run.
    """

    stage: Stage

    @property
    def out(self) -> Path:
        """The run folder, where a worker leaves its log."""
        return self.stage.out

    def run(self) -> dict[str, float] | None:
        """Return error and NLL on the validation samples; none where training diverged."""
        try:
            found = self.stage.run().result["validation"]
        except NonFiniteError:
            return None
        return None if found["nll"] is None else {"error": found["error"], "nll": found["nll"]}


@dataclass(frozen=True)
class Search:
    """A grid of objectives, and the trials by which they are compared.

    Args:
        config: of the trials, beside their objective and seed; its teachers are asked for the target store.
        out: folder of the search.
        temperatures: of the grid.
        weights: of the grid.
        seeds: how many the candidates have that are never dropped.
        criterion: what is to be small.
        teacher: where it was given as a Python object.
        data: the data, where they are at hand.
        trust: allow model classes outside `instar.models`.
        trust_model: allow that of the student alone, which the user named; a teacher's folder may be a stranger's.
        show: show progress on stderr.

    Raises:
        ConfigError: when there is nothing to choose from, nobody to ask, or a setting is given that trials differ in.
    """

    config: RunConfig
    out: Path
    temperatures: tuple[float, ...] = TEMPERATURES
    weights: tuple[float, ...] = WEIGHTS
    seeds: int = 3
    criterion: Criterion = "error"
    teacher: Any = None
    data: Data | None = None
    trust: bool = False
    trust_model: bool = False
    show: bool = True

    def __post_init__(self) -> None:
        for name, values, least in (
            ("temperatures", self.temperatures, math.ulp(0.0)),
            ("weights", self.weights, 0.0),
        ):
            if not values or len(set(values)) < len(values) or not all(least <= one < math.inf for one in values):
                bound = "above 0" if least else "of at least 0"
                got = ", ".join(map(exact, values)) or "none"
                raise ConfigError(f"{name} must be different numbers {bound}, got {got}.")
        if len(self.temperatures) * len(self.weights) < 2:
            raise ConfigError("one temperature with one weight leaves nothing to choose; give more of either.")
        if self.seeds < 2:
            raise ConfigError(f"seeds must be at least 2, because fewer have no interval, got {self.seeds}.")
        if self.criterion not in ("error", "nll"):
            raise ConfigError(f"criterion must be error or nll, got '{self.criterion}'.")
        for name in ("objective", "targets", "store", "judge_test"):
            if name in self.config.model_fields_set:
                raise ConfigError(f"tune chooses the setting '{name}' of its trials; leave it out.")
        if self.teacher is None and not self.config.teachers:
            raise ConfigError("tune needs a teacher; give one, such as a run folder.")

    def run(self, jobs: int | str = 1) -> Tuned:
        """Do what is left to do; see `tune`."""
        here = parse_jobs(jobs).here
        data = self.data or load_data(self.config.data)
        for run in filter(None, map(as_run, self.config.teachers)):
            refuse_other_reading(run, data)
        if not is_labelled(data.train):
            raise DataError("tune compares with labels alone, and no training sample has a label.")
        if data.held_out is None or not is_labelled(data.held_out):
            raise DataError("tune chooses on a validation split with labels, and there is none.")
        # what is wrong with the model or the store is said once, and not by every trial
        trust = self.trust or self.trust_model
        build_network(self.config.model, data.train.input_shape, data.classes, trust=trust)
        stored = self._ask(data)
        config = adopt_store_views(stored, self.config)
        loader = _asked_about(data.train, config)
        stored.targets(next(loader.in_order()).part(0, 2))
        look = look_at(stored, data, loader)
        if self.show:
            look.tell()
        config = config.model_copy(update={"teachers": (str(stored.store.path),), "judge_test": False})
        # other processes find the decoded data in the cache
        given = GivenObjects(data if here or data.config.source == ARRAYS else None)
        show = self.show and here
        stage = Stage(config, self.out, given, trust=self.trust, trust_model=self.trust_model, show=show)
        cells, baseline = self._halve(stage, jobs)
        tuned = Tuned(self.criterion, len(data.held_out), cells, baseline, first_look=look.as_dict())
        if data.config.source != ARRAYS:
            teachers = self.config.teachers or config.teachers
            command = as_command(self.config, tuned.objective, teachers, self.out / "student", trust=self.trust)
            tuned = replace(tuned, command=command)
        write_json(self.out / "tune.json", tuned.as_dict())
        return tuned

    def _ask(self, data: Data) -> Stored:
        """Return the store that all trials learn from: the teacher's own, where it is one, or one that is made here."""
        teacher = list(self.config.teachers) if self.teacher is None else self.teacher
        names, asked = choose_teacher(teacher, self.config.combine, self.trust)
        asked = in_order_of(asked, data.classes)
        if isinstance(asked, Stored):
            self._refuse_other_temperatures(f"'{asked.store.path}'", next(iter(asked.store.manifest.parts.values())))
            return asked
        device, precision = make_accelerator().device, self.config.training.teacher_precision
        asked.prepare(Execution(device, precision, max_convolved_samples=BATCH_SIZE))
        loaders = {"train": _asked_about(data.train, self.config, device)}
        if data.held_out is not None and asked.knows(data.held_out):  # so that trials are compared with the teacher too
            size = choose_batch_size(data.held_out, BATCH_SIZE)
            loaders["validation"] = Loader(data.held_out, size, seed=self.config.seed, device=device)
        # in float32, so that nothing depends on where targets come from
        kept = StoreConfig(dtype="float32", temperature=self.temperatures[0] if len(self.temperatures) == 1 else None)
        labelling = Labelling(
            asked,
            describe_teacher(asked, names, self.config.combine, precision),
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
                f"{who} answers at temperature {exact(part.temperature)} alone, and is to be asked at {others}; all "
                "classes of one teacher, or of a geometric mean, hold at any."
            )

    def _halve(self, stage: Stage, jobs: int | str) -> tuple[tuple[Cell, ...], Cell]:
        """Train rung after rung; return the cells of the grid, and that of labels alone.

        A rung adds seeds and no epochs: with another number of epochs most schedules have other rates from the first
        step on, so a longer trial would have to start from nothing.
        """
        grid = [Setting(temperature, weight) for temperature in self.temperatures for weight in self.weights]
        cells = {setting: Cell(setting) for setting in (LABELS, *grid)}
        left = grid
        for rung, count in enumerate(seeds_by_rung(self.seeds), start=1):
            if self.show:
                say(f"rung {rung}: {len(left)} candidates, {count} of {self.seeds} seeds")
            new = [(setting, k) for setting in (LABELS, *left) for k in range(len(cells[setting].seeds), count)]
            trials = [self._trial(stage, setting, 1000 * self.config.seed + k) for setting, k in new]
            scores = run_all([trial.run for trial in trials], jobs)
            for (setting, _), trial, score in zip(new, trials, scores, strict=True):
                cells[setting] = cells[setting].with_trial(trial.out, trial.stage.config.seed, score)
            ranks = [cells[setting].rank(self.criterion) for setting in left]
            kept = range(len(left)) if count == self.seeds else better_half(ranks)
            staying = [left[place] for place in kept if not cells[left[place]].diverged]
            for setting in left:
                if setting not in staying:
                    cells[setting] = replace(cells[setting], dropped=rung)
            left = staying
            if not left or cells[LABELS].diverged:
                who = "the baseline, labels alone," if left else "every candidate"
                raise NonFiniteError(f"{who} diverged in '{self.out}'; lower training.learning_rate.")
        return tuple(cells[setting] for setting in grid), cells[LABELS]

    def _trial(self, stage: Stage, setting: Setting, seed: int) -> Trial:
        values = stage.config.model_dump() | {"objective": setting.objective, "seed": seed}
        if setting is LABELS:
            values["teachers"] = ()
        out = self.out / f"{setting.name}-seed-{seed}"
        return Trial(replace(stage, config=validate(RunConfig, values), out=out))


def _asked_about(samples: Samples, config: RunConfig, device: torch.device | str = "cpu") -> Loader:
    """Return the training samples in the views of a configuration, as they are asked about."""
    return Loader(
        samples,
        choose_batch_size(samples, BATCH_SIZE),
        seed=config.seed,
        views=parse_views(config.views),
        num_views=config.num_views,
        view_seed=config.view_seed,
        device=device,
    )
