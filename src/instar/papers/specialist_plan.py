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
from instar.data.dataset import Data, load_data
from instar.papers.table import STUDENT_SEED_OFFSET
from instar.procedures.ensemble import ensemble
from instar.procedures.specialists.clusters import CLUSTERS_FILE, Clusters, cluster
from instar.procedures.specialists.combining import combine
from instar.procedures.specialists.training import SpecialistRuns, Way
from instar.runs.run import Run
from instar.seeds import generator
from instar.stages.stage import Stage

PUBLISHED_ACCURACIES = {"within": (43.1, 45.9), "overall": (25.0, 26.1)}
"""Accuracies in % of the generalist alone and with 61 specialists, on JFT."""
PUBLISHED_RELATIVE_GAINS = (0.0, 3.4, 7.4, 8.8, 10.5, 11.1, 11.3, 12.8, 13.6, 16.6, 14.1)
"""Relative gains in % in right predictions where 0, 1, ..., 9, and 10 or more specialists know the class, on JFT."""
JFT_NOTE = "published on JFT"
SPECIALIST_SETS: dict[str, tuple[str, Way]] = {
    "dustbin": ("confusable", "dustbin"),
    "full": ("confusable", "full"),
    "random": ("random", "dustbin"),
    "true": ("true", "dustbin"),
}
"""Clusters of each set of specialists, and what keeps its members from over-fitting."""
STUDENT_OBJECTIVE = "SoftTargets(2) + 0.5 * HardLabels()"
VIEWS_PER_SAMPLE = 4
"""Views of each sample that the teacher labels, if there is augmentation."""


@dataclass(frozen=True)
class Problem:
    """A data set with the network and the training settings for it.

    Args:
        name: name of the data set; its folder has the same name in lower case, without "-".
        data: settings of the data, without the source.
        model: configuration of all networks.
        views: augmentation.
        clusters: number of specialists.
        size: number of classes of each specialist.
        training: settings of generalists and students.
        expert: settings of specialists that differ; `epochs` is an upper bound.
        coarse: column of the true groups; empty if class names have the form "group/class".
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
        """Name of the folder of the data set."""
        return self.name.lower().replace("-", "")


DIGITS_PROBLEM = Problem(
    "digits",
    {"validation": 0.2},
    {"name": "mlp", "arguments": {"widths": [32]}},
    "Identity()",
    3,
    4,
    {"epochs": 4, "learning_rate": 0.01},
    {"epochs": 2, "patience": 2},
)
"""The embedded digits, for a quick look."""


@dataclass(frozen=True)
class SpecialistPlan:
    """The runs of one data set and one seed.

    Args:
        problem: data set.
        source: path or name of the data.
        out: folder of the runs.
        seed: seed of this lineage.
        data: samples.
    """

    problem: Problem
    source: str
    out: Path
    seed: int
    data: Data = field(repr=False)

    @property
    def generalist(self) -> Path:
        """Run folder of the generalist."""
        return self.out / "generalist-0"

    def stage(self, name: str, number: int, teacher: Path | None = None) -> Stage:
        """Return a network with the generalist's budget, which learns from labels or from a teacher."""
        values: dict[str, Any] = {
            "data": {"source": self.source, **self.problem.data},
            "model": dict(self.problem.model),
            "views": self.problem.views,
            "training": dict(self.problem.training),
            "seed": 1000 * self.seed + number,
        }
        if teacher is not None:
            # without augmentation all views would be alike
            views = {} if self.problem.views == "Identity()" else {"num_views": VIEWS_PER_SAMPLE}
            values |= {"teachers": [str(teacher)], "objective": STUDENT_OBJECTIVE, "targets": "memory"} | views
        return Stage(validate(RunConfig, values), self.out / name, show=False)

    @property
    def equal_cost(self) -> int:
        """Number of generalists that see as many samples as all specialists may see at most, rounded up."""
        experts, problem = self.problem.expert, self.problem
        # half of a specialist's samples are of its own classes, half are drawn from the others
        share = 2 * problem.size / len(self.data.classes)
        return math.ceil(round(problem.clusters * share * int(experts["epochs"]) / int(problem.training["epochs"]), 1))

    def generalists(self) -> list[Stage]:
        """Return the generalist, and the other members of the ensemble of equal cost."""
        return [self.stage(f"generalist-{number}", number) for number in range(1 + self.equal_cost)]

    def arms(self) -> list[str]:
        """Return the sets of specialists; "true" only if the true groups are known."""
        return [arm for arm, (kind, _) in SPECIALIST_SETS.items() if kind != "true" or self.groups]

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The true groups of classes; empty if they are unknown."""
        classes = self.data.classes
        if self.problem.coarse:
            # the groups are another column of labels, so the data are read a second time
            source = {**self.data.config.model_dump(), "label_column": self.problem.coarse}
            groups = load_data(validate(DataConfig, source)).train.labels
            # the same samples in the same order, so both columns can be read side by side
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
            # each set by itself, so they overlap as the confusable ones do
            drawn = [torch.randperm(len(names), generator=random)[:size].sort().values for _ in range(count)]
            return Clusters(tuple(tuple(names[index] for index in some.tolist()) for some in drawn))
        return cluster(self.generalist, self.data, split="validation", clusters=count, size=size, seed=self.seed)

    def experts(self, arm: str) -> SpecialistRuns:
        """Return the specialists of an arm; clusters that its folder already holds are read, not computed."""
        kind, way = SPECIALIST_SETS[arm]
        folder, expert = self.out / arm, dict(self.problem.expert)
        path = folder / CLUSTERS_FILE
        # those of trained specialists, if there are any
        clusters = Clusters.read(path) if path.exists() else self.clusters(kind)
        return SpecialistRuns(self.generalist, clusters, folder, way, expert, self.seed, show=False)

    def combine(self, arm: str) -> Run:
        """Combine the generalist and the specialists of an arm."""
        folders = self.experts(arm).folders()
        return combine(self.generalist, folders, self.data, out=self.out / f"{arm}-combined")

    def combine_generalists(self) -> Run:
        """Combine the generalists into the control ensemble."""
        members = [stage.out for stage in self.generalists()]
        return ensemble(members, self.data, out=self.out / "generalists")

    def students(self) -> list[Stage]:
        """Return students of the combined specialists, of the generalist and of the ensemble of generalists."""
        # one seed number, so that they differ by their teacher alone
        return [
            self.stage(f"student-of-{name}", STUDENT_SEED_OFFSET, self.out / teacher)
            for name, teacher in (
                ("specialists", "dustbin-combined"),
                ("generalist", "generalist-0"),
                ("generalists", "generalists"),
            )
        ]
