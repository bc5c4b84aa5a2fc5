"""Hinton, Vinyals and Dean 2015, section 4 and section 6.1: acoustic models.

The paper has 2,000 hours of speech and nets of 85 million weights; we have 3,000 spoken digits (Free Spoken Digit
Dataset) and nets of half a million, so its numbers stand beside ours to be compared in kind, not in size.

Choices, where the text leaves room:

1. A frame's state is one of three equal parts of its word, 30 in all; the paper's 14,000 come from an aligned HMM.
2. The ten nets differ in their initial weights and in the order of their samples. The net to beat is the mean of the
   ten, so that the gain which is to be transferred does not hang on one of them.
3. Students have T = 2 and labels with the weight 0.5 (section 4.1). Their net, epochs and rate are those of the ten. At
   the scale `small` the student of the ensemble has T = 1 and half the dropout, chosen on validation (docs/log.md).
4. Few data are a share of the recordings, not of the frames, because neighbouring frames are nearly the same. The soft
   targets for them are the first net's, which was trained on all. Students of few data have as many steps as is said in
   `SCALES`, far more epochs than the ten.
5. Early stopping takes the weights with the lowest NLL on validation recordings. The paper compares
   with it, because accuracy from labels turns down; where it does not, labels to the end are harder to beat, so both.
6. Words are found by Viterbi over log-posteriors, see `instar.analysis.viterbi`.
7. What the paper did not run: a split that holds a speaker out, another one for each seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from statistics import mean
from typing import Any

from instar.config import DataConfig, RunConfig, validate
from instar.data import Data, load_data
from instar.papers.furlanello2018 import compared, verdict
from instar.papers.table import Order, Table, TableRow
from instar.procedures.ensemble import ensemble
from instar.procedures.evaluate import evaluate
from instar.runs.run import Run
from instar.stages.stage import Stage

TITLE = "Hinton, Vinyals and Dean 2015, sections 4 and 6.1: speech"
DATA = "spoken_digits"

PUBLISHED = {"net": 58.9, "ensemble": 61.1, "distilled": 60.8}
"""Frame accuracies in % of one net, ten nets, and the one net that learns from them."""
FEW = {"train": {"hard": 67.3, "soft": 65.4}, "test": {"hard": 44.5, "soft": 57.0}}
"""Frame accuracies in % with 3% of the data, from labels with early stopping and from soft targets without."""
DISTILLATION = "SoftTargets(2) + 0.5 * HardLabels()"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
STATES = 3

WAYS: dict[str, dict[str, Any]] = {
    "hard": {},
    "stopped": {"stops": True},
    "soft": {"objective": DISTILLATION},
}
"""How a net learns from few data: labels to the end, labels with early stopping, soft targets to the end."""


@dataclass(frozen=True)
class SpeechScale:
    """How much work a table is.

    Args:
        seeds: sets of nets, each with all that follows.
        nets: of an ensemble.
        widths: hidden layers of all nets.
        dropout: of their hidden units.
        epochs: of all nets that see all data.
        shares: of the data, for students of few; by share their epochs.
        data: settings of the data that differ.
        distilled: in what the student of the ensemble differs from what choice 3 says.
    """

    seeds: int
    nets: int
    widths: tuple[int, ...]
    epochs: int
    shares: Mapping[float, int]
    dropout: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)
    distilled: Mapping[str, Any] = field(default_factory=dict)


_SMALL_STUDENT = {"objective": "SoftTargets(1) + 0.5 * HardLabels()", "dropout": 0.1}

SCALES = {
    "smoke": SpeechScale(2, 2, (16,), 1, {0.3: 2}, data={"subset": 100}),
    "small": SpeechScale(3, 10, (256, 256, 256), 20, {0.03: 120, 0.1: 60, 0.3: 30}, 0.2, distilled=_SMALL_STUDENT),
    "gpu": SpeechScale(10, 10, (2560,) * 8, 40, {0.03: 240, 0.1: 120, 0.3: 60}),
    "paper": SpeechScale(3, 10, (2560,) * 8, 40, {0.03: 240, 0.1: 120, 0.3: 60}),
}

_TRAINING = {
    "optimiser": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "batch_size": 16,
    "precision": "bfloat16",
    "teacher_precision": "bfloat16",
    "checkpoint_seconds": 60.0,
    "log_every": 200,
}
_STUDENT = 500
"""What the seeds of students begin with."""


@dataclass(frozen=True)
class SpeechPlan:
    """The runs of one split and one seed.

    Args:
        size: how much work.
        source: where the recordings are.
        out: the folder of the runs.
        seed: of this set.
        speaker: who is held out; none: the data set's own split.
    """

    size: SpeechScale
    source: str
    out: Path
    seed: int
    speaker: str | None

    def stage(
        self,
        name: str,
        number: int,
        teacher: str = "",
        *,
        objective: str = DISTILLATION,
        dropout: float | None = None,
        share: float = 1.0,
        stops: bool = False,
    ) -> Stage:
        """Return a net: of labels, or of the teacher in the folder of that name."""
        epochs = self.size.shares.get(share, self.size.epochs)
        training = _TRAINING | {"epochs": epochs, "evaluate_every": max(1, epochs // 30)}
        values: dict[str, Any] = {
            "data": {**self.data_settings, "keep_fraction": share},
            "model": {
                "name": "frame-net",
                "arguments": {
                    "widths": list(self.size.widths),
                    "dropout": self.size.dropout if dropout is None else dropout,
                },
            },
            "training": training | ({"patience": epochs} if stops else {}),
            "seed": 1000 * self.seed + number,
        }
        if teacher:
            values |= {"teachers": [str(self.out / teacher)], "objective": objective, "targets": "memory"}
        return Stage(validate(RunConfig, values), self.out / name, show=False)

    @property
    def data_settings(self) -> dict[str, Any]:
        """The settings of its data."""
        held_out = {"test_where": f"speaker={self.speaker}"} if self.speaker else {}
        return {"source": self.source, "label_column": "label", "states": STATES, **held_out, **self.size.data}

    @cached_property
    def data(self) -> Data:
        """Its data."""
        return load_data(validate(DataConfig, self.data_settings))

    def nets(self) -> list[Stage]:
        """Return the nets of the ensemble."""
        return [self.stage(f"net-{number}", number) for number in range(self.size.nets)]

    def students(self) -> list[Stage]:
        """Return the student of the ensemble, and all of few data."""
        found = [self.stage("distilled", _STUDENT, "ensemble", **self.size.distilled)]
        for share in self.size.shares:
            for way, settings in WAYS.items():
                teacher = "net-0" if way == "soft" else ""
                found.append(self.stage(few(share, way), _STUDENT, teacher, share=share, **settings))
        return found

    def combine(self) -> Run:
        """Return the ensemble."""
        return ensemble([stage.out for stage in self.nets()], self.data, out=self.out / "ensemble")

    def frames(self, name: str) -> float:
        """Return the frame accuracy of a run on test recordings, in %."""
        return 100 * (1 - float(Run(self.out / name).metrics["error"]))

    def words(self, name: str) -> float:
        """Return the word accuracy of a run on test recordings, in %."""
        return 100 * (1 - float(evaluate(self.out / name, self.data)["word_error"]))

    def of_nets(self, quantity: Callable[[str], float]) -> float:
        """Return the mean of a quantity over the nets."""
        return mean(quantity(f"net-{number}") for number in range(self.size.nets))

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Return epoch and frame accuracy in % on validation recordings."""
        lines = [line for line in Run(self.out / name).history() if line["kind"] == "validation"]
        return [(line["epoch"], round(100 * (1 - line["error"]), 2)) for line in lines]


def few(share: float, way: str) -> str:
    """Return the folder of a net of few data."""
    return f"few-{100 * share:g}-{way}"


def run(order: Order) -> Table:
    """Train what is not trained yet, and return the table."""
    size = SCALES[order.scale]
    seeds = range(order.seeds or size.seeds)
    splits = {
        "own split": [SpeechPlan(size, order.data, order.out / "own" / str(seed), seed, None) for seed in seeds],
        "speaker held out": [
            SpeechPlan(size, order.data, order.out / "held-out" / str(seed), seed, SPEAKERS[seed % len(SPEAKERS)])
            for seed in seeds
        ],
    }
    plans = [plan for some in splits.values() for plan in some]
    order.train(stage for plan in plans for stage in plan.nets())
    for plan in plans:
        order.report(str(plan.combine().path.relative_to(order.out)))
    order.train(stage for plan in plans for stage in plan.students())
    rows = [row for name, some in splits.items() for row in _rows(name, some)]
    findings = [_findings(name, some) for name, some in splits.items()]
    return Table(TITLE, tuple(rows), "\n\n".join(text for text in findings if text))


def _rows(name: str, plans: Sequence[SpeechPlan]) -> list[TableRow]:
    published = PUBLISHED if plans[0].speaker is None else {}
    rows = []
    for words, method in (("frame accuracy", SpeechPlan.frames), ("word accuracy", SpeechPlan.words)):
        net, together, student = _of_three(plans, method)
        theirs = published if method is SpeechPlan.frames else {}
        rows += [
            TableRow(f"{name}: one net, mean of {plans[0].size.nets}", words, "%", theirs.get("net"), net),
            TableRow(f"{name}: their ensemble", words, "%", theirs.get("ensemble"), together),
            TableRow(f"{name}: distilled into one", words, "%", theirs.get("distilled"), student),
            compared(f"{name}: ensemble over one net, {words}", _errors(together), _errors(net), None),
            compared(f"{name}: distilled over one net, {words}", _errors(student), _errors(net), None),
        ]
    net, together, student = _of_three(plans, SpeechPlan.frames)
    rows.append(TableRow(f"{name}: gain transferred", "of mean gains", "%", 86 if published else None, [_share(plans)]))
    for share in plans[0].size.shares:
        for way in WAYS:
            rows += _of_few(name, plans, share, way)
    return rows


def _of_few(name: str, plans: Sequence[SpeechPlan], share: float, way: str) -> list[TableRow]:
    """Return the accuracies of a way to learn from few data, on training and on test recordings."""
    words = {"hard": "labels", "stopped": "labels, early stopping", "soft": "soft targets"}[way]
    folder, title = few(share, way), f"{name}: {100 * share:g}% of the data, {words}"
    is_theirs = share == 0.03 and way != "hard" and plans[0].speaker is None
    theirs = {split: found["soft" if way == "soft" else "hard"] for split, found in FEW.items()} if is_theirs else {}
    curves = {"curve": [plan.curve(folder) for plan in plans]}
    learnt = [100 * (1 - evaluate(plan.out / folder, split="train")["error"]) for plan in plans]
    return [
        TableRow(title, "frame accuracy, training", "%", theirs.get("train"), learnt),
        TableRow(title, "frame accuracy", "%", theirs.get("test"), [plan.frames(folder) for plan in plans], curves),
    ]


def _findings(name: str, plans: Sequence[SpeechPlan]) -> str:
    """Return a paragraph that says what held; empty with a single seed."""
    if len(plans) < 2:
        return ""
    net, together, student = map(_errors, _of_three(plans, SpeechPlan.frames))
    sentences = [
        verdict("ensemble better than one net", together, net),
        verdict("distilled net better than one net", student, net),
        f"Of the mean gain of the ensemble, {_share(plans):.0f}% is transferred (published: 86%).",
    ]
    for share in plans[0].size.shares:
        errors = {way: _errors([plan.frames(few(share, way)) for plan in plans]) for way in WAYS}
        percent = f"With {100 * share:g}% of the data, soft targets better than"
        for way, words in (("stopped", "labels with early stopping"), ("hard", "labels to the end")):
            sentences.append(verdict(f"{percent} {words}", errors["soft"], errors[way]))
        for way, words in (("hard", "labels"), ("soft", "soft targets")):
            fall = mean(_fall(plan.curve(few(share, way))) for plan in plans)
            sentences.append(f"From {words} the accuracy on validation ends {fall:.1f} points below its peak.")
    return f"{name}, over {len(plans)} paired seeds: {' '.join(sentences)}"


def _of_three(
    plans: Sequence[SpeechPlan], method: Callable[[SpeechPlan, str], float]
) -> tuple[list[float], list[float], list[float]]:
    """Return a quantity of one net, of the ensemble and of its student, each by seed."""
    return (
        [plan.of_nets(partial(method, plan)) for plan in plans],
        [method(plan, "ensemble") for plan in plans],
        [method(plan, "distilled") for plan in plans],
    )


def _share(plans: Sequence[SpeechPlan]) -> float:
    """Return the student's mean gain over one net by the ensemble's, in %; 0 where that has none."""
    net, together, student = map(mean, _of_three(plans, SpeechPlan.frames))
    return 100 * (student - net) / (together - net) if together != net else 0.0


def _fall(curve: Sequence[tuple[float, float]]) -> float:
    return max(accuracy for _, accuracy in curve) - curve[-1][1]


def _errors(accuracies: Sequence[float]) -> list[float]:
    return [100 - accuracy for accuracy in accuracies]
