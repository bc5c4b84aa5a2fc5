"""Tables that compare methods of distillation on pairs of a teacher and a student: stages, rows and gains.

Choices that hold for each of these tables:

1. All methods of a seed are paired: their students have the same initial weights, data order and views, and one
   teacher, whose seed is another.
2. Errors are those of the last epoch. Nothing is chosen on test images, which are judged once. Trials of the scale
   `small` used a validation split of the training images, which the table then trains on as well.
3. Students query their teacher at each step, because stores keep no hidden layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from instar.config import RunConfig, validate
from instar.errors import ConfigError
from instar.papers.claims import compare_arms, judge_claim, to_errors
from instar.papers.furlanello2018 import Net
from instar.papers.table import Order, TableRow
from instar.runs.run import Run
from instar.stages.stage import Stage

STEP_TRAINING: dict[str, Any] = {
    "optimiser": "sgd",
    "momentum": 0.9,
    "schedule": "step",
    "factor": 0.1,
    "log_every": 200,
}
"""Settings that the published recipes of these tables share: SGD whose rate falls to a tenth at milestones."""

FLOW_TRAINING: Mapping[str, Any] = {"gradient_clip": 1.0}
"""Settings of a first phase on FSP matrices: their squared distance begins at 10^4 to 10^5, and diverges unclipped."""

LABELS, TEACHER = "labels", "teacher"
"""Names of the student that learns from labels alone, and of the teacher."""

KD_OBJECTIVE = "0.9 * SoftTargets(4) + 0.1 * HardLabels()"
"""Plain distillation at the temperature and the weights that most of the tables of hidden layers use."""


@dataclass(frozen=True)
class Method:
    """One way to train a student.

    Args:
        name: name of its folder.
        title: title of its row; empty: it has no row, because others start from it or learn from it.
        objective: objective of the student.
        teacher: "teacher" for the teacher of the pair, the name of a method for a student of that method, or empty.
        start: name of the method whose student this one starts from; empty: new weights.
        longer: multiple of the epochs of the scale.
        training: settings of the training that differ.
        number: number of the seed within those of a pair; students with the same number are paired.
    """

    name: str
    title: str
    objective: str = "HardLabels()"
    teacher: str = ""
    start: str = ""
    longer: float = 1.0
    training: Mapping[str, Any] = field(default_factory=dict)
    number: int = 1


@dataclass(frozen=True)
class NetPair:
    """A teacher and a student of a table.

    Args:
        teacher: network of the teacher.
        student: network of the student.
        published: the paper's numbers, by the name of the method; that of the teacher is "teacher".
        note: remark on what distinguishes the runs from the paper's.
    """

    teacher: Net
    student: Net
    published: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        """Both networks, as the rows and the option `--net` name them."""
        return f"{self.student.name} from {self.teacher.name}"


@dataclass(frozen=True)
class MethodsPlan:
    """The stages of a table, and what its rows need of them.

    Args:
        out: folder of the runs.
        data: settings of the data.
        training: settings of the training; epochs and milestones are stretched for longer methods.
        views: augmentation.
        seeds: one seed for each teacher and its students.
        methods: all methods, after those that they start from or learn from.
        quantity: what the paper reports, in %.
        teacher_longer: multiple of the epochs that teachers take.
    """

    out: Path
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    views: str
    seeds: Sequence[int]
    methods: Sequence[Method]
    quantity: Literal["test error", "test accuracy"] = "test error"
    teacher_longer: float = 1.0

    def waves(self, pairs: Sequence[NetPair]) -> Iterator[list[Stage]]:
        """Yield the stages in waves; stages of one wave do not need each other."""
        teachers = {pair.teacher.name: pair.teacher for pair in pairs}  # by name: one may have several students
        yield [
            self._stage(net, Method(TEACHER, "", longer=self.teacher_longer, number=0), seed)
            for net in teachers.values()
            for seed in self.seeds
        ]
        left, made = list(self.methods), {"", TEACHER}
        while left:
            wave = [method for method in left if {method.start, method.teacher} <= made]
            left = [method for method in left if method not in wave]
            stages = [
                self._stage(pair.student, method, seed, pair)
                for pair in pairs
                for seed in self.seeds
                for method in wave
            ]
            # two pairs share the students of labels if their students are one network
            yield list({stage.out: stage for stage in stages}.values())
            made |= {method.name for method in wave}

    def folder(self, pair: NetPair, name: str, seed: int) -> Path:
        """Return the run folder of a method, or of the teacher."""
        if name == TEACHER:
            return self.out / pair.teacher.folder / TEACHER / str(seed)
        of = f"-of-{pair.teacher.folder}" if self._needs_teacher(name) else ""
        return self.out / pair.student.folder / f"{name}{of}" / str(seed)

    def errors(self, pair: NetPair, name: str) -> list[float]:
        """Return the test errors of a method in %, one per seed."""
        return [100 * float(Run(self.folder(pair, name, seed)).metrics["error"]) for seed in self.seeds]

    def rows(self, pair: NetPair, references: Mapping[str, str]) -> list[TableRow]:
        """Return a row for the teacher and each method, and its gain over each of the references.

        Args:
            pair: teacher and student.
            references: words for a method in the titles of gains, by its name, such as `{"labels": "labels"}`.
        """
        titles = {TEACHER: "teacher"} | {method.name: method.title for method in self.methods if method.title}
        rows = [self._row(pair, name, title) for name, title in titles.items()]
        for reference, words in references.items():
            base, published = self.errors(pair, reference), pair.published
            for name, title in titles.items():
                if name in (TEACHER, reference):
                    continue
                known = {name, reference} <= published.keys()
                sign = 1 if self.quantity == "test error" else -1
                gain = round(sign * (published[reference] - published[name]), 2) if known else None
                rows.append(compare_arms(f"{pair.name}: {title}, over {words}", self.errors(pair, name), base, gain))
        return rows

    def judge(self, pair: NetPair, claims: Sequence[tuple[str, str]]) -> str:
        """Return a paragraph that says for each (better, worse) whether the first method has fewer errors.

        Claims about methods that a pair lacks are left out.
        """
        if len(self.seeds) < 2:  # one seed says nothing about others
            return ""
        titles = {TEACHER: "teacher"} | {method.name: method.title.removeprefix("control: ") for method in self.methods}
        found = [
            judge_claim(f"{titles[a]} better than {titles[b]}", self.errors(pair, a), self.errors(pair, b))
            for a, b in claims
            if {a, b} <= titles.keys()
        ]
        return f"{pair.name}, over {len(self.seeds)} paired seeds: {' '.join(found)}"

    def _row(self, pair: NetPair, name: str, title: str) -> TableRow:
        errors = self.errors(pair, name)
        values = errors if self.quantity == "test error" else to_errors(errors)
        steps = Run(self.folder(pair, name, self.seeds[0])).result["steps"]
        return TableRow(
            f"{pair.name}: {title}",
            self.quantity,
            "%",
            pair.published.get(name),
            values,
            {"steps": steps},
            pair.note if name in pair.published else "",
        )

    def _needs_teacher(self, name: str) -> bool:
        # also through the student that it starts from or learns from
        method = next(one for one in self.methods if one.name == name)
        return any(used == TEACHER or (used and self._needs_teacher(used)) for used in (method.teacher, method.start))

    def _stage(self, net: Net, method: Method, seed: int, pair: NetPair | None = None) -> Stage:
        out = self.out / net.folder / TEACHER / str(seed) if pair is None else self.folder(pair, method.name, seed)
        values: dict[str, Any] = {
            "data": dict(self.data),
            "model": net.model,
            "views": self.views,
            "training": stretch(self.training, method.longer) | dict(method.training),
            "objective": method.objective,
            "seed": 1000 * seed + method.number,  # teachers and students of two seeds never share one
        }
        if pair is not None and method.teacher:
            values["teachers"] = [str(self.folder(pair, method.teacher, seed))]
        if pair is not None and method.start:
            values["start"] = str(self.folder(pair, method.start, seed))
        return Stage(validate(RunConfig, values), out, show=False)


@dataclass(frozen=True)
class MethodsScale:
    """Amount of work for a table.

    Args:
        seeds: teachers per pair, each with a student of each method.
        epochs: epochs of every run, but of longer methods.
        pairs: teachers and students.
        data: settings of the data, without the source.
        views: augmentation.
        training: settings that differ from the recipe.
        longer: multiple of the epochs of the control that learns from labels for as long as others from a teacher.
        teacher_longer: multiple of the epochs that teachers take.
    """

    seeds: int
    epochs: int
    pairs: tuple[NetPair, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    views: str = "Crop(4) + Flip()"
    training: Mapping[str, Any] = field(default_factory=dict)
    longer: float = 2.0
    teacher_longer: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pairs."""
        return tuple(pair.name for pair in self.pairs)

    @property
    def attention_weight(self) -> float:
        """Weight of attention transfer: 1000 for 32 x 32 images, and as much less as smaller ones have fewer places."""
        height, width = self.data.get("image_size", (32, 32))
        return float(1000 * height * width / (32 * 32))  # the sum over places has one scale, and the loss is their mean

    def plan(
        self,
        order: Order,
        recipe: Mapping[str, Any],
        methods: Sequence[Method],
        quantity: Literal["test error", "test accuracy"] = "test error",
    ) -> MethodsPlan:
        """Return the stages of an order.

        Args:
            order: what was ordered.
            recipe: settings of the paper's training, with milestones as shares of the epochs.
            methods: see `MethodsPlan`.
            quantity: see `MethodsPlan`.

        Raises:
            ConfigError: when the order wants stored targets.
        """
        refuse_stores(order)
        training = {**recipe, "epochs": self.epochs, "evaluate_every": self.epochs}
        training["milestones"] = [self.epochs * share for share in recipe["milestones"]]
        # the papers train on all images, so the validation images are among them and decide nothing
        data = {"source": order.data, "validation": 0.1, "train_on_all": True, **self.data}
        seeds = order.seed_numbers(self.seeds)
        training = training | dict(self.training)
        longer = self.teacher_longer
        return MethodsPlan(order.out, data, training, self.views, seeds, methods, quantity, longer)


def write_pairs(*names: str) -> str:
    """Return pairs of equal layers of student and teacher, as the text of an objective has them.

    >>> write_pairs("stem", "stage1")
    '{"stem": "stem", "stage1": "stage1"}'
    """
    return "{" + ", ".join(f'"{name}": "{name}"' for name in names) + "}"


def stretch(training: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return settings of a training of a multiple of the epochs, whose milestones are at the same shares of it.

    >>> stretch({"epochs": 10, "evaluate_every": 10, "milestones": (3, 6)}, 1.5)
    {'epochs': 15, 'evaluate_every': 15, 'milestones': [4.5, 9.0]}
    """
    epochs = max(1, round(training["epochs"] * factor))
    milestones = [factor * milestone for milestone in training["milestones"]]
    return {**training, "epochs": epochs, "evaluate_every": epochs, "milestones": milestones}


def refuse_stores(order: Order) -> None:
    """Refuse targets that are no live teacher's.

    Raises:
        ConfigError: names the setting.
    """
    if order.targets not in (None, "online"):
        raise ConfigError(
            f"methods of hidden layers query their teacher at each step, so targets must be online, got "
            f"'{order.targets}'; leave targets out."
        )
