"""What the tables of Furlanello et al. 2018, "Born-again neural networks", share: networks, arms and stages.

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

from instar.analysis.significance import paired_interval
from instar.config import RunConfig, validate
from instar.papers.table import TableRow
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
UNUSED_TEACHER_OBJECTIVE = "HardLabels() + 0 * SoftTargets(1)"
"""Objective of a student that copies layers from a teacher but learns from labels alone."""
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

    def labels(self, net: Net, seed: int, number: int = 0, name: str = "teacher", objective: str = "") -> Stage:
        """Return a network that learns from labels: a teacher, or a control with the seed of generation `number`."""
        return self._stage(net, name, seed, number, {"objective": objective} if objective else {})

    def student(self, net: Net, seed: int, name: str, objective: str, number: int, teacher: Path) -> Stage:
        """Return a network that learns from the run in the folder `teacher`."""
        distilled = {"objective": objective, "teachers": [str(teacher)], **self.target_settings}
        return self._stage(net, name, seed, number, distilled)

    def student_of_pair(self, pair: Pair, arm: str, seed: int) -> Stage:
        """Return the student of a pair; trained on labels, it still copies the layers its family takes over."""
        objective = BAN_OBJECTIVE if arm == "ban" else UNUSED_TEACHER_OBJECTIVE
        teacher = self.folder(pair.teacher, "teacher", seed)
        return self.student(pair.student, seed, f"{arm}-of-{pair.teacher.folder}", objective, 1, teacher)

    def folder(self, net: Net, name: str, seed: int) -> Path:
        """Return the run folder of an arm."""
        return self.out / net.folder / name / str(seed)

    def waves(self, nets: Sequence[Net], pairs: Sequence[Pair], *, whole: bool) -> list[list[Stage]]:
        """Return the stages in waves; stages of one wave do not need each other.

        Args:
            nets: networks of the core table.
            pairs: teachers with students of another shape.
            whole: whether the core table has all arms; else it has teacher and BAN alone.
        """
        teachers = {pair.teacher.name: pair.teacher for pair in pairs} | {net.name: net for net in nets}
        first = [self.labels(net, seed) for net in teachers.values() for seed in self.seeds]
        second, later = [], []
        for seed in self.seeds:
            for net in nets:
                teacher = self.folder(net, "teacher", seed)
                arms = STUDENT_OBJECTIVES if whole else {"ban-1": BAN_OBJECTIVE}
                second += [self.student(net, seed, name, text, 1, teacher) for name, text in arms.items()]
                if whole:
                    second += [self.labels(net, seed, number, f"labels-{number + 1}") for number in (1, 2)]
                    second.append(self.labels(net, seed, 1, "smoothing", "HardLabels(0.1)"))
                    later.append([self._generation(net, seed, number) for number in (2, 3)])
            second += [self.student_of_pair(pair, arm, seed) for pair in pairs for arm in pair.arms]
        # BAN-2 learns from BAN-1, and BAN-3 from BAN-2
        return [first, second, *([stages[step] for stages in later] for step in range(2 if later else 0))]

    def combine(self, net: Net) -> None:
        """Evaluate the ensembles of a network."""
        for name, members in GENERATION_ENSEMBLES.items():
            for seed in self.seeds:
                folders = [self.folder(net, member, seed) for member in members]
                ensemble(folders, out=self.folder(net, name, seed))

    def errors(self, net: Net, name: str) -> list[float]:
        """Return the test errors of an arm in %, one per seed."""
        return [100 * float(Run(self.folder(net, name, seed)).metrics["error"]) for seed in self.seeds]

    def _generation(self, net: Net, seed: int, number: int) -> Stage:
        return self.student(
            net, seed, f"ban-{number}", BAN_OBJECTIVE, number, self.folder(net, f"ban-{number - 1}", seed)
        )

    def _stage(self, net: Net, name: str, seed: int, number: int, changes: Mapping[str, Any]) -> Stage:
        values = {
            "data": dict(self.data),
            "model": net.model,
            "views": self.views,
            "training": dict(self.training),
            "seed": 1000 * seed + number,  # lineages never share a seed
            **changes,
        }
        return Stage(validate(RunConfig, values), self.folder(net, name, seed), show=False)


def compared(name: str, ours: Sequence[float], reference: Sequence[float], published: float | None) -> TableRow:
    """Return a row with the gain of an arm over another, paired by seed, and its 95% interval."""
    gains = [theirs - mine for mine, theirs in zip(ours, reference, strict=True)]
    note, settings = "", {}
    if len(gains) > 1:
        _, low, high = paired_interval(ours, reference)
        note, settings = f"95%: {low:+.2f} to {high:+.2f}", {"interval": [low, high]}
    return TableRow(name, "gain", "points", published, gains, settings, note)


def verdict(claim: str, ours: Sequence[float], reference: Sequence[float], unit: str = "points") -> str:
    """Return a sentence that says whether `ours` has fewer errors than `reference`, over paired seeds.

    >>> verdict("BAN < teacher", [60.0, 61.0, 60.5], [62.0, 62.9, 62.6])
    'BAN < teacher: held (2.00 points, 95%: +1.75 to +2.25).'
    >>> verdict("BANE < BAN", [60.0, 61.0, 60.5], [60.1, 60.8, 60.6])
    'BANE < BAN: not settled (0.00 points, 95%: -0.43 to +0.43).'
    """
    mean, low, high = paired_interval(ours, reference)
    word = "held" if low > 0 else "did not hold; the opposite did" if high < 0 else "not settled"
    return f"{claim}: {word} ({mean + 0:.2f} {unit}, 95%: {low:+.2f} to {high:+.2f})."
