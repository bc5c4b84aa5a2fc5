"""`instar born-again`: generations of students, each learning from the one before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from instar.checks import checked
from instar.config import ModelConfig, RunConfig, validate
from instar.data.any_source import are_objects
from instar.data.views.view import View
from instar.errors import ConfigError
from instar.importing import TypedName
from instar.inspection.generations import Lineage, validation_score
from instar.jobs.backends import parse_jobs
from instar.jobs.running import run_all
from instar.jobs.task import Job
from instar.models.build import describe_model
from instar.models.imported import names_a_class
from instar.models.trained import TrainedRun, lend_network
from instar.objectives.notation import as_objective
from instar.objectives.objective import Objective, Term
from instar.objectives.values import Need
from instar.paths import local_path
from instar.procedures.ensemble import ensemble
from instar.procedures.report import report_where_possible
from instar.runs.run import Run
from instar.stages.arguments import DataLike, ModelLike, refuse_weights, target_settings
from instar.stages.configuration import configure
from instar.stages.in_order import load_once, run_in_order
from instar.stages.stage import Stage
from instar.tasks.metric import format_value
from instar.teachers.conversion import as_teacher

DEFAULT_MODEL = {"name": "mlp", "arguments": {"widths": [128, 128]}}
"""Model of generation 0 if none is given."""

SMOOTHING_OBJECTIVE = "HardLabels(0.1)"
"""Objective of the control with label smoothing."""


@checked
def born_again(
    data: DataLike | None = None,
    model: ModelLike | None = None,
    *,
    out: str | Path = "runs/born-again",
    generations: int = 3,
    student: ModelLike | None = None,
    objective: str | Objective | Term | None = None,
    stop_early: bool = False,
    controls: bool = True,
    distil_ensemble: bool = False,
    targets: str | Path | None = None,
    store: Mapping[str, Any] | None = None,
    views: str | View | None = None,
    num_views: int | None = None,
    seed: int | None = None,
    jobs: int | str = 1,
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **named: Any,
) -> Lineage:
    """Train generation 0 on labels, and each later generation on the soft targets of the one before it.

    Generation k has the seed 1000 seed + k for initial weights, data order and views, and the schedule of generation 0.
    Student and teacher see the same views. A killed lineage resumes inside the generation that it had reached. The
    result includes the ensembles of the generations (mean of probabilities, with and without generation 0) and controls
    of the same budget: as many models from labels with other seeds, their ensemble, and one with label smoothing, which
    labels that are numbers do not have.

    Source: Furlanello et al. 2018, "Born-again neural networks".

    Args:
        data: result of `load_data`, or its argument.
        model: generation 0, as in `train`, but not a module with weights; None is a small "mlp".
        out: folder of the lineage; each generation is a run folder in it.
        generations: number of generations after generation 0, at least 1.
        student: model of the later generations; None takes that of generation 0.
        objective: objective of the later generations; "SoftTargets(1) + HardLabels()" is BAN+L. None is
            "SoftTargets(1)", and "SquaredError('teacher')" where labels are numbers.
        stop_early: stop after the first generation whose validation error, or RMSE, is not below the best before it.
        controls: train the controls too.
        distil_ensemble: distil the ensemble of the later generations back into one model.
        targets: source of the students' targets, as in `distill`.
        store: what a target store keeps, as in `distill`.
        views: augmentation, as in `distill`.
        num_views: views per sample, as in `distill`.
        seed: the seeds of all runs follow from it.
        jobs: number of runs at a time, or Ray; see `instar.jobs.outcomes`.
        config: YAML file of settings, as in `train`, for all generations.
        settings: any settings by dotted name, as in `train`.
        network: network of generations that need it when they are loaded again: a module, or the
            `package.module:name` of a function that makes it.
        trust: allow model classes outside `instar.models`.
        show: show progress on stderr.
        named: fields of `TrainingConfig` and `RunConfig`, as in `train`.

    Raises:
        NonFiniteError: names the generation that diverged; those before it are kept.
        InstarError: in one sentence, for everything else that the caller can mend.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> folder = tempfile.mkdtemp() + "/lineage"
    >>> lineage = born_again("digits", MLP([16]), out=folder, generations=2, epochs=2, show=False)
    >>> [run.path.name for run in (*lineage.generations, *lineage.ensembles)]
    ['generation-0', 'generation-1', 'generation-2', 'ensemble-1-2', 'ensemble-0-2']
    """
    refuse_weights("born_again", "generation", model, student)
    given = configure(
        "born_again",
        {"data": data, "model": model},
        config,
        named,
        settings,
        trust=trust,
        defaults={"model": DEFAULT_MODEL},
        refused=("teachers",),  # the teacher of a generation is the one before it
        views=views,
        num_views=num_views,
        seed=seed,
        **target_settings(targets, store),
    )
    # all teachers are runs of this lineage, so a class that was typed as a flag is trusted in their folders too
    trust = trust or given.trust_model or names_a_class(student)
    if objective is None:
        objective = "SquaredError('teacher')" if given.config.data.labels == "numbers" else "SoftTargets(1)"
    return LineagePlan(
        given.stage(local_path(out, "out"), network=network, trust=trust, show=show),
        generations,
        student=given.config.model if student is None else describe_model(student),
        objective=as_objective(objective, trust=trust or isinstance(objective, TypedName)),
        stop_early=stop_early,
        network=network,
    ).run(controls=controls, distil_ensemble=distil_ensemble, jobs=jobs)


@dataclass(frozen=True)
class LineagePlan:
    """The stages of a lineage.

    Args:
        stage: what all stages share: the settings of generation 0, the data, and the folder of the lineage.
        generations: number of generations after generation 0.
        student: model of the later generations.
        objective: objective of the later generations.
        stop_early: stop when a generation is not better than the best before it.
        network: network of generations that need it when they are loaded again.

    Raises:
        ConfigError: if there are no generations, or the objective has no term with a teacher.
    """

    stage: Stage
    generations: int
    student: ModelConfig
    objective: Objective
    stop_early: bool = False
    network: nn.Module | str | None = None

    def __post_init__(self) -> None:
        if self.generations < 1:
            raise ConfigError(f"generations must be at least 1, got {self.generations}.")
        if Need.TEACHER not in self.objective.needs:
            raise ConfigError(
                f"the objective '{self.objective}' has no term with a teacher; add one, such as SoftTargets(1)."
            )

    def run(self, *, controls: bool = True, distil_ensemble: bool = False, jobs: int | str = 1) -> Lineage:
        """Train the runs that are missing; see `born_again`."""
        here, out = parse_jobs(jobs).here, self.stage.out
        # other processes read the decoded data from the cache, except objects, which travel with each job
        stage = load_once(self.stage) if here or are_objects(self.stage.config.data.source) else self._without_data()
        plan = replace(self, stage=replace(stage, show=stage.show and here))
        arms = plan.controls() if controls else {}
        # generations need each other, so they are one job; each control is another
        tasks: list[Job[Any]] = [Job(plan.grow, out), *(Job(stage.run, stage.out) for stage in arms.values())]
        last, stopped = run_all(tasks, jobs)[0]
        names = [f"generation-{number}" for number in range(last + 1)]
        ensembles = {f"ensemble-1-{last}": names[1:], f"ensemble-0-{last}": names}
        # objects are combined as they are here; other data are read as the members recorded them
        whole = plan if are_objects(self.stage.config.data.source) else self
        # without generation 0 there may be only one member left
        found = [whole._combine(name, members) for name, members in ensembles.items() if len(members) > 1]
        if distil_ensemble:
            found.append(plan.distilled(found[0].path).run())
        others = [Run(stage.out) for stage in arms.values()]
        if len(labels := [name for name in arms if name.startswith("labels-")]) > 1:
            # named like the ensembles of generations: labels-1-3 has the runs labels-1 to labels-3
            others.append(whole._combine(f"{labels[0]}-{len(labels)}", labels))
        runs = [TrainedRun(out / name, trust=self.stage.trust, network=self.network) for name in names]
        return Lineage(tuple(runs), tuple(found), tuple(others), stopped, report_where_possible(out))

    def grow(self) -> tuple[int, str]:
        """Train generation after generation; return the number of the last, and why it stopped early.

        Raises:
            NonFiniteError: if a generation diverges; names it.
        """
        best: tuple[float, int] | None = None
        stages = map(self.generation, range(self.generations + 1))
        for number, run in enumerate(run_in_order("generation", stages)):
            if not self.stop_early:
                continue
            if run.result["validation"] is None:
                raise ConfigError("stop_early needs a labelled validation split, and there is none.")
            metric, score = validation_score(run)
            # an equal error stops too: a generation that gains nothing is no reason to train another
            if best and score >= best[0]:
                now, before = (format_value(value, metric.unit) for value in (score, best[0]))
                what = metric.title.removeprefix("Test ")
                reason = f"its validation {what}, {now}, is not below the {before} of generation {best[1]}"
                return number, f"Stopped after generation {number}: {reason}."
            best = score, number
        return self.generations, ""

    def generation(self, number: int) -> Stage:
        """Return generation `number`, which learns from labels or from the one before it."""
        if number == 0:
            return self._make_stage("generation-0", 0)
        return self._make_student(f"generation-{number}", number, self.stage.out / f"generation-{number - 1}")

    def distilled(self, teacher: Path) -> Stage:
        """Return the student of an ensemble of generations."""
        # with the first seed that no generation has, also where the lineage stopped early
        return self._make_student(f"{teacher.name}-distilled", self.generations + 1, teacher)

    def controls(self) -> dict[str, Stage]:
        """Return the controls: one label-trained model per later generation, and one with label smoothing."""
        # control k has the seed of generation k: initial weights, order and views are the same, only the teacher is not
        found = {f"labels-{k}": self._make_stage(f"labels-{k}", k) for k in range(1, self.generations + 1)}
        if self.stage.config.data.labels == "numbers":
            return found
        return found | {"label-smoothing": self._make_stage("label-smoothing", 1, {"objective": SMOOTHING_OBJECTIVE})}

    def _without_data(self) -> Stage:
        return replace(self.stage, given=replace(self.stage.given, data=None))

    def _make_student(self, name: str, number: int, teacher: Path) -> Stage:
        changes = {"model": self.student.model_dump(), "teachers": [str(teacher)], "objective": str(self.objective)}
        stage = self._make_stage(name, number, changes)
        # a stage finds its teacher by the folder alone, so a network that this needs is attached here
        resolved = (
            as_teacher(lend_network(teacher, self.network), trust=self.stage.trust)
            if self.network is not None
            else None
        )
        return replace(stage, given=replace(stage.given, teacher=resolved, objective=self.objective))

    def _make_stage(self, name: str, number: int, changes: Mapping[str, Any] | None = None) -> Stage:
        config = self.stage.config
        # 1000 apart, so that lineages of seeds 0, 1, 2, ... have no run in common
        values = config.model_dump() | {"seed": 1000 * config.seed + number} | dict(changes or {})
        if not values["teachers"]:  # a run without a teacher has no targets to store
            values |= {"targets": "online", "store": {}}
        # a run that changes the objective has its own, which its configuration names
        own = "objective" in (changes or {})
        given = replace(self.stage.given, objective=None) if own else self.stage.given
        return replace(self.stage, config=validate(RunConfig, values), out=self.stage.out / name, given=given)

    def _combine(self, name: str, members: Sequence[str]) -> Run:
        folders, data = [self.stage.out / member for member in members], self.stage.given.data
        return ensemble(folders, data, out=self.stage.out / name, network=self.network, trust=self.stage.trust)
