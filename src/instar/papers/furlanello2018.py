"""The shared parts of the tables of Furlanello et al. 2018, "Born-again neural networks": networks, arms and stages.

Choices where the paper leaves room:

1. "BAN" and "BAN-1" are one treatment, so one run fills both rows. In the paper they differ by up to 0.66 points.
2. BAN+L weighs labels and soft targets 1 : 1. DKPP draws a new permutation per (sample, step).
3. Arms are paired: BAN-1 and every arm compared with it (BAN+L, CWTM, DKPP, label smoothing, labels again) share a
   seed, and so initial weights, data order and views. The teacher has another seed.
4. Errors are those of the last epoch. Neither the paper nor Instar chooses anything on the test set.
5. Three control arms, which the paper did not run, have the budget of BAN-1: label smoothing of 0.1, labels again with
   another seed, and ensembles of as many label-trained models as the paper's ensembles have generations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instar.config import RunConfig, validate
from instar.procedures.ensemble import ensemble
from instar.runs.run import Run
from instar.stages.stage import Stage

BAN_OBJECTIVE, BAN_L_OBJECTIVE = "SoftTargets(1)", "SoftTargets(1) + HardLabels()"
STUDENT_OBJECTIVES = {
    "ban-1": BAN_OBJECTIVE,
    "ban+l": BAN_L_OBJECTIVE,
    "cwtm": "ConfidenceWeighted()",
    "dkpp": "PermutedDarkKnowledge()",
}
"""Objectives of the students of the first teacher, by the name of the arm."""
LATER_GENERATIONS = {"ban-2": (2, "ban-1"), "ban-3": (3, "ban-2")}
"""Number of each later generation and the arm that teaches it, by the name of the arm."""
LABEL_ARMS = {"labels-2": (1, "HardLabels()"), "labels-3": (2, "HardLabels()"), "smoothing": (1, "HardLabels(0.1)")}
"""Number of the seed and objective of each control from labels: 1 is paired with BAN-1, 2 is another network."""
TRAINED_ARMS = (*STUDENT_OBJECTIVES, *LATER_GENERATIONS, *LABEL_ARMS)
"""All arms beside the teacher that are trained."""
UNUSED_TEACHER_OBJECTIVE = "HardLabels() + 0 * SoftTargets(1)"
"""Objective of a student that copies layers from a teacher but learns from labels alone.

The term with the weight 0 is there because a run with a teacher is refused if no term uses it.
"""
GENERATION_ENSEMBLES = {
    "ens2": ("ban-1", "ban-2"),
    "ens3": ("ban-1", "ban-2", "ban-3"),
    "labels-ens2": ("teacher", "labels-2"),
    "labels-ens3": ("teacher", "labels-2", "labels-3"),
}
"""Members of each ensemble, whose probabilities are averaged: generations, and as many label-trained models."""


@dataclass(frozen=True)
class Net:
    """A network of a table.

    Args:
        name: name in the paper.
        family: name of its family in `instar.models`.
        arguments: arguments of the family.
        published: the paper's errors in %, by the name of the arm.
        note: remark on what the paper leaves open about it.
    """

    name: str
    family: str
    arguments: Mapping[str, Any]
    published: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def folder(self) -> str:
        """Name of the network's folder."""
        return self.name.lower().replace(" ", "-")

    @property
    def model(self) -> dict[str, Any]:
        """Configuration of the model."""
        return {"name": self.family, "arguments": dict(self.arguments)}


@dataclass(frozen=True)
class Pair:
    """A teacher and a student of another shape.

    Args:
        table: number of the paper's table.
        teacher: network of the teacher.
        student: network of the student.
        arms: what the student learns from: "ban" for its teacher, "labels" for labels alone.
    """

    table: str
    teacher: Net
    student: Net
    arms: tuple[str, ...] = ("ban",)

    @property
    def name(self) -> str:
        """Name of the student, which the rows are about."""
        return self.student.name


@dataclass(frozen=True)
class GenerationsPlan:
    """The stages of a table: which run folder each row needs.

    Args:
        out: folder of the runs.
        data: settings of the data.
        training: settings of the training.
        views: augmentation.
        seeds: one seed per lineage.
        target_settings: settings that say where students get the teacher's logits from.
    """

    out: Path
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    views: str
    seeds: Sequence[int]
    target_settings: Mapping[str, Any] = field(default_factory=dict)

    def labels(
        self, net: Net, seed: int, number: int = 0, name: str = "teacher", objective: str = "HardLabels()"
    ) -> Stage:
        """Return a network that learns from labels: a teacher, or a control with the seed of generation `number`."""
        return self._stage(net, name, seed, number, objective)

    def student(self, net: Net, seed: int, name: str, objective: str, number: int, teacher: Path) -> Stage:
        """Return a network that learns from the run in the folder `teacher`."""
        return self._stage(net, name, seed, number, objective, teachers=[str(teacher)], **self.target_settings)

    def student_of_pair(self, pair: Pair, arm: str, seed: int) -> Stage:
        """Return the student of a pair; trained on labels, it still copies the layers its family takes over."""
        objective = BAN_OBJECTIVE if arm == "ban" else UNUSED_TEACHER_OBJECTIVE
        # both arms name the teacher: it is also where the layers come from
        teacher = self.folder(pair.teacher, "teacher", seed)
        return self.student(pair.student, seed, f"{arm}-of-{pair.teacher.folder}", objective, 1, teacher)

    def folder(self, net: Net, name: str, seed: int) -> Path:
        """Return the run folder of an arm."""
        return self.out / net.folder / name / str(seed)

    def waves(self, nets: Sequence[Net], pairs: Sequence[Pair], arms: Sequence[str]) -> list[list[Stage]]:
        """Return the stages in waves; stages of one wave do not need each other.

        Args:
            nets: networks that teach themselves.
            pairs: teachers with students of another shape.
            arms: arms of each of `nets` beside the teacher, of `TRAINED_ARMS`.
        """
        # by name, because a teacher of several students is trained once
        teachers = {pair.teacher.name: pair.teacher for pair in pairs} | {net.name: net for net in nets}
        first = [self.labels(net, seed) for net in teachers.values() for seed in self.seeds]
        waves: list[list[Stage]] = [first, [], [], []]
        for seed in self.seeds:
            for net in nets:
                for arm in arms:
                    number, stage = self._arm(net, seed, arm)
                    waves[number].append(stage)
            waves[1] += [self.student_of_pair(pair, arm, seed) for pair in pairs for arm in pair.arms]
        return [wave for wave in waves if wave]

    def _arm(self, net: Net, seed: int, arm: str) -> tuple[int, Stage]:
        # the wave of an arm, and its stage
        if arm in LABEL_ARMS:
            number, objective = LABEL_ARMS[arm]
            return 1, self.labels(net, seed, number, arm, objective)
        number, teacher = LATER_GENERATIONS.get(arm, (1, "teacher"))
        objective = STUDENT_OBJECTIVES.get(arm, BAN_OBJECTIVE)
        return number, self.student(net, seed, arm, objective, number, self.folder(net, teacher, seed))

    def combine(self, net: Net, arms: Sequence[str]) -> tuple[str, ...]:
        """Evaluate the ensembles whose members are the teacher or among `arms`; return their names."""
        known = {"teacher", *arms}
        names = tuple(name for name, members in GENERATION_ENSEMBLES.items() if known.issuperset(members))
        for name in names:
            for seed in self.seeds:
                folders = [self.folder(net, member, seed) for member in GENERATION_ENSEMBLES[name]]
                ensemble(folders, out=self.folder(net, name, seed))
        return names

    def errors(self, net: Net, name: str) -> list[float]:
        """Return the test errors of an arm in %, one per seed."""
        # of the last epoch: nothing is chosen on the test set
        return [100 * float(Run(self.folder(net, name, seed)).metrics["error"]) for seed in self.seeds]

    def _stage(self, net: Net, name: str, seed: int, number: int, objective: str, **settings: Any) -> Stage:
        values = {
            "data": dict(self.data),
            "model": net.model,
            "views": self.views,
            "training": dict(self.training),
            "objective": objective,
            "seed": 1000 * seed + number,  # lineages never share a seed
            **settings,
        }
        return Stage(validate(RunConfig, values), self.folder(net, name, seed), show=False)
