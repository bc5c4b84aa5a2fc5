"""The runs of one data set and one seed in the table of specialists: which run folder each arm needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from instar.config import DataConfig, RunConfig, validate
from instar.data import Data, load_data
from instar.procedures import specialists
from instar.procedures.ensemble import ensemble
from instar.procedures.specialists import Clusters
from instar.procedures.specialists.training import CLUSTERS, Way
from instar.runs.run import Run
from instar.seeds import generator
from instar.stages.stage import Stage

ARMS: dict[str, tuple[str, Way]] = {
    "dustbin": ("confusable", "dustbin"),
    "full": ("confusable", "full"),
    "random": ("random", "dustbin"),
    "true": ("true", "dustbin"),
}
"""What each set of specialists was given: which clusters, and the way to keep it from over-fitting."""
DISTILLATION = "SoftTargets(2) + 0.5 * HardLabels()"
"""The objective of all students."""
VIEWS = 4
"""Views of each sample that a teacher is asked about, where there is augmentation."""
STUDENT = 500
"""What the seeds of students begin with."""


@dataclass(frozen=True)
class Problem:
    """A data set, and the nets and trainings for it.

    Args:
        name: for people; in small letters, also that of its folder.
        data: settings of the data beside the source.
        model: of all nets.
        views: the augmentation.
        clusters: how many specialists.
        size: classes of each.
        training: of generalists and students.
        expert: what differs for specialists; its `epochs` are the most.
        coarse: column of the true groups; empty where the names of the classes begin with theirs and a slash.
    """

    name: str
    data: Mapping[str, Any]
    model: Mapping[str, Any]
    views: str
    clusters: int
    size: int
    training: Mapping[str, Any]
    expert: Mapping[str, Any]
    coarse: str = ""

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name.lower().replace("-", "")


@dataclass(frozen=True)
class SpecialistPlan:
    """The runs of one data set and one seed.

    Args:
        problem: the data set.
        source: where it is.
        out: the folder of the runs.
        seed: of this lineage.
        data: the samples.
    """

    problem: Problem
    source: str
    out: Path
    seed: int
    data: Data = field(repr=False)

    @property
    def generalist(self) -> Path:
        """Its run folder."""
        return self.out / "generalist-0"

    def stage(self, name: str, number: int, teacher: Path | None = None) -> Stage:
        """Return a net with the generalist's budget, of labels or of a teacher."""
        values: dict[str, Any] = {
            "data": {"source": self.source, **self.problem.data},
            "model": dict(self.problem.model),
            "views": self.problem.views,
            "training": dict(self.problem.training),
            "seed": 1000 * self.seed + number,
        }
        if teacher is not None:
            views = {} if self.problem.views == "Identity()" else {"num_views": VIEWS}
            values |= {"teachers": [str(teacher)], "objective": DISTILLATION, "targets": "memory"} | views
        return Stage(validate(RunConfig, values), self.out / name, show=False)

    @property
    def equal_cost(self) -> int:
        """Generalists that may see as many samples as all specialists may at most, rounded up."""
        experts, problem = self.problem.expert, self.problem
        share = 2 * problem.size / len(self.data.classes)  # of an epoch of the generalist's in one of a specialist's
        return math.ceil(round(problem.clusters * share * int(experts["epochs"]) / int(problem.training["epochs"]), 1))

    def generalists(self) -> list[Stage]:
        """Return the generalist, and those that it would take for the samples that its specialists may see."""
        return [self.stage(f"generalist-{number}", number) for number in range(1 + self.equal_cost)]

    def arms(self) -> list[str]:
        """Return the sets of specialists; true groups are not known for all data."""
        return [arm for arm, (kind, _) in ARMS.items() if kind != "true" or self.groups]

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The true groups of classes, none where nothing says what they are; the data are read again for them."""
        classes = self.data.classes
        if self.problem.coarse:
            source = {**self.data.config.model_dump(), "label_column": self.problem.coarse}
            groups = load_data(validate(DataConfig, source)).train.labels
            of_class = dict(zip(self.data.train.labels.tolist(), groups.tolist(), strict=True))
            keys: list[Any] = [of_class.get(index) for index in range(len(classes))]
        else:
            keys = [name.split("/")[0] if "/" in name else None for name in classes]
        found: dict[Any, list[str]] = {}
        for key, name in zip(keys, classes, strict=True):
            if key is not None:
                found.setdefault(key, []).append(name)
        return tuple(tuple(names) for names in found.values())

    def clusters(self, kind: str) -> Clusters:
        """Return the classes of each specialist."""
        count, size = self.problem.clusters, self.problem.size
        if kind == "true":
            return Clusters(self.groups)
        if kind == "random":
            random, names = generator(self.seed, "random classes"), self.data.classes
            drawn = [torch.randperm(len(names), generator=random)[:size].sort().values for _ in range(count)]
            return Clusters(tuple(tuple(names[index] for index in some.tolist()) for some in drawn))
        return specialists.cluster(
            self.generalist, self.data, split="validation", clusters=count, size=size, seed=self.seed
        )

    def experts(self, arm: str) -> specialists.SpecialistRuns:
        """Return the specialists of an arm, with the clusters of its folder where they are found already."""
        kind, way = ARMS[arm]
        folder, expert = self.out / arm, dict(self.problem.expert)
        kept = folder / CLUSTERS
        found = Clusters.read(kept) if kept.exists() else self.clusters(kind)
        return specialists.SpecialistRuns(self.generalist, found, folder, way, expert, self.seed, show=False)

    def together(self, arm: str) -> Run:
        """Return the combination of an arm."""
        folders = self.experts(arm).folders()
        return specialists.combine(self.generalist, folders, self.data, out=self.out / f"{arm}-combined")

    def control(self) -> Run:
        """Return the ensemble of generalists."""
        members = [stage.out for stage in self.generalists()]
        return ensemble(members, self.data, out=self.out / "generalists")

    def students(self) -> list[Stage]:
        """Return nets like the generalist that learn from what it and its specialists are, and from the controls."""
        return [
            self.stage(f"student-of-{name}", STUDENT, self.out / teacher)
            for name, teacher in (
                ("specialists", "dustbin-combined"),
                ("generalist", "generalist-0"),
                ("generalists", "generalists"),
            )
        ]
