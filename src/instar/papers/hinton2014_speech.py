"""Hinton, Vinyals and Dean 2015, section 4 and section 6.1: acoustic models.

The paper has 2,000 hours of speech and networks of 85 million weights. Instar has 3,000 spoken digits (Free Spoken
Digit Dataset) and networks of half a million weights, so compare the directions of the effects, not their sizes.

Choices where the paper leaves room:

1. The state of a frame is one of three equal parts of its word, 30 states in all; the paper's 14,000 come from an HMM.
2. The ten networks differ in initial weights and sample order. The baseline is the mean of the ten, so that the gain of
   the ensemble does not depend on one of them.
3. Students use T = 2 and labels with the weight 0.5 (section 4.1), and the network, epochs and learning rate of the
   ten. At the scale `small` the student of the ensemble uses T = 1 and half the dropout, chosen on validation
   (docs/log.md).
4. "3% of the data" is a share of the recordings, not of the frames, because neighbouring frames are nearly the same.
   The first network, trained on all data, provides the soft targets. `SCALES` holds the epochs of these students, which
   are far more than those of the ten.
5. Early stopping restores the weights with the lowest NLL on validation recordings. The paper compares with it because
   the accuracy of label training falls again. Where it does not fall, labels to the end are the stronger baseline, so
   the table has both.
6. Viterbi over log-posteriors finds the words, see `instar.analysis.viterbi`.
7. The paper did not run the second split: it holds out one speaker, a different one for each seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

from instar.config import DataConfig, RunConfig, validate
from instar.data.dataset import Data, load_data
from instar.papers.claims import compare_arms, gain_kept_row, judge_claim, to_errors
from instar.papers.speech_recipe import NET_TRAINING, PUBLISHED_FRAME_ACCURACIES, PUBLISHED_GAIN_KEPT
from instar.papers.table import STUDENT_SEED_OFFSET, Order, Table, TableRow
from instar.procedures.ensemble import ensemble
from instar.procedures.evaluate import evaluate
from instar.runs.run import Run
from instar.stages.stage import Stage

TITLE = "Hinton, Vinyals and Dean 2015, sections 4 and 6.1: speech"
DATA = "spoken_digits"

PUBLISHED_FEW_DATA_ACCURACIES = {"stopped": (67.3, 44.5), "soft": (65.4, 57.0)}
"""Frame accuracies in % on training and test with 3% of the data, by the name of the method."""
SPEECH_OBJECTIVE = "SoftTargets(2) + 0.5 * HardLabels()"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
"""Speakers of the Free Spoken Digit Dataset."""
STATES_PER_WORD = 3

FEW_DATA_METHODS: dict[str, dict[str, Any]] = {
    "hard": {},
    "stopped": {"stops": True},
    "soft": {"objective": SPEECH_OBJECTIVE},
}
"""How students learn from few data: labels to the end, labels with early stopping, soft targets to the end."""


@dataclass(frozen=True)
class SpeechScale:
    """Amount of work for a table.

    Args:
        seeds: number of ensembles, each with its students.
        nets: members of an ensemble.
        widths: widths of the hidden layers of all networks.
        epochs: epochs of the networks that learn from all data.
        shares: epochs of the students of few data, by their share of the recordings.
        dropout: dropout of the hidden units.
        data: settings of the data that differ from the defaults.
        distilled: settings of the student of the ensemble that differ from choice 3.
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


@dataclass(frozen=True)
class SpeechPlan:
    """The runs of one split and one seed.

    Args:
        size: amount of work.
        source: folder of the recordings.
        out: folder of the runs.
        seed: seed of this ensemble.
        speaker: held-out speaker; None uses the data set's own split.
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
        objective: str = SPEECH_OBJECTIVE,
        dropout: float | None = None,
        share: float = 1.0,
        stops: bool = False,
    ) -> Stage:
        """Return a network that learns from labels, or from the teacher in the folder of that name."""
        epochs = self.size.shares.get(share, self.size.epochs)
        # about 30 points for the curve of each run
        training = NET_TRAINING | {"epochs": epochs, "evaluate_every": max(1, epochs // 30)}
        values: dict[str, Any] = {
            "data": {**self.data_settings, "keep_fraction": share},
            "model": {
                "name": "frame-net",
                "arguments": {
                    "widths": list(self.size.widths),
                    "dropout": self.size.dropout if dropout is None else dropout,
                },
            },
            # patience that never runs out restores the best weights after the full budget
            "training": training | ({"patience": epochs} if stops else {}),
            "seed": 1000 * self.seed + number,
        }
        if teacher:
            values |= {"teachers": [str(self.out / teacher)], "objective": objective, "targets": "memory"}
        return Stage(validate(RunConfig, values), self.out / name, show=False)

    @property
    def data_settings(self) -> dict[str, Any]:
        """Settings of the data."""
        held_out = {"test_where": f"speaker={self.speaker}"} if self.speaker else {}
        return {"source": self.source, "label_column": "label", "states": STATES_PER_WORD, **held_out, **self.size.data}

    @cached_property
    def data(self) -> Data:
        """The recordings of this split."""
        return load_data(validate(DataConfig, self.data_settings))

    def nets(self) -> list[Stage]:
        """Return the members of the ensemble."""
        return [self.stage(f"net-{number}", number) for number in range(self.size.nets)]

    def students(self) -> list[Stage]:
        """Return the student of the ensemble, and the students of few data."""
        # one seed number for all, so that the methods are compared with the same initial weights
        found = [self.stage("distilled", STUDENT_SEED_OFFSET, "ensemble", **self.size.distilled)]
        for share in self.size.shares:
            for method, settings in FEW_DATA_METHODS.items():
                teacher = "net-0" if method == "soft" else ""
                name = few_data_folder(share, method)
                found.append(self.stage(name, STUDENT_SEED_OFFSET, teacher, share=share, **settings))
        return found

    def combine(self) -> Run:
        """Combine the members into the ensemble."""
        return ensemble([stage.out for stage in self.nets()], self.data, out=self.out / "ensemble")

    def frame_accuracy(self, name: str) -> float:
        """Return the frame accuracy of a run on test recordings, in %."""
        return 100 * (1 - float(Run(self.out / name).metrics["error"]))

    def word_accuracy(self, name: str) -> float:
        """Return the word accuracy of a run on test recordings, in %."""
        return 100 * (1 - float(evaluate(self.out / name, self.data)["word_error"]))

    def curve(self, name: str) -> list[tuple[float, float]]:
        """Return epoch and frame accuracy in % on validation recordings."""
        lines = [line for line in Run(self.out / name).history() if line.get("kind") == "validation"]
        return [(line["epoch"], round(100 * (1 - line["error"]), 2)) for line in lines]


def few_data_folder(share: float, method: str) -> str:
    """Return the folder of a student of few data."""
    return f"few-{100 * share:g}-{method}"


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    seeds = order.seed_numbers(size.seeds)
    splits = {
        "own split": [SpeechPlan(size, order.data, order.out / "own" / str(seed), seed, None) for seed in seeds],
        "speaker held out": [
            SpeechPlan(size, order.data, order.out / "held-out" / str(seed), seed, SPEAKERS[seed % len(SPEAKERS)])
            for seed in seeds
        ],
    }
    plans = [plan for some in splits.values() for plan in some]
    # members, then ensembles, then students: an ensemble is a run folder that students name as their teacher
    order.train(stage for plan in plans for stage in plan.nets())
    for plan in plans:
        order.report(str(plan.combine().path.relative_to(order.out)))
    order.train(stage for plan in plans for stage in plan.students())
    rows = [row for name, some in splits.items() for row in _rows(name, some)]
    findings = [_findings(name, some) for name, some in splits.items()]
    return Table(TITLE, tuple(rows), "\n\n".join(text for text in findings if text))


def _rows(name: str, plans: Sequence[SpeechPlan]) -> list[TableRow]:
    # the paper has frame accuracies of its own split only
    published = PUBLISHED_FRAME_ACCURACIES if plans[0].speaker is None else {}
    rows = []
    for words, accuracy in (("frame accuracy", SpeechPlan.frame_accuracy), ("word accuracy", SpeechPlan.word_accuracy)):
        net, combined, student = _measure(plans, accuracy)
        theirs = published if accuracy is SpeechPlan.frame_accuracy else {}
        rows += [
            TableRow(f"{name}: one net, mean of {plans[0].size.nets}", words, "%", theirs.get("net"), net),
            TableRow(f"{name}: their ensemble", words, "%", theirs.get("ensemble"), combined),
            TableRow(f"{name}: distilled into one", words, "%", theirs.get("distilled"), student),
            compare_arms(f"{name}: ensemble over one net, {words}", to_errors(combined), to_errors(net), None),
            compare_arms(f"{name}: distilled over one net, {words}", to_errors(student), to_errors(net), None),
        ]
    rows.append(_gain_kept(name, plans))
    for share in plans[0].size.shares:
        for method in FEW_DATA_METHODS:
            rows += _few_data_rows(name, plans, share, method)
    return rows


def _few_data_rows(name: str, plans: Sequence[SpeechPlan], share: float, method: str) -> list[TableRow]:
    words = {"hard": "labels", "stopped": "labels, early stopping", "soft": "soft targets"}[method]
    folder, title = few_data_folder(share, method), f"{name}: {100 * share:g}% of the data, {words}"
    is_published = share == 0.03 and plans[0].speaker is None
    on_train, on_test = PUBLISHED_FEW_DATA_ACCURACIES.get(method if is_published else "", (None, None))
    curves = {"curve": [plan.curve(folder) for plan in plans]}
    # of the recordings that the student learned from; a run stores no metrics of them
    train = [100 * (1 - evaluate(plan.out / folder, split="train")["error"]) for plan in plans]
    test = [plan.frame_accuracy(folder) for plan in plans]
    return [
        TableRow(title, "frame accuracy, training", "%", on_train, train),
        TableRow(title, "frame accuracy", "%", on_test, test, curves),
    ]


def _findings(name: str, plans: Sequence[SpeechPlan]) -> str:
    if len(plans) < 2:
        return ""
    net, combined, student = map(to_errors, _measure(plans, SpeechPlan.frame_accuracy))
    sentences = [
        judge_claim("ensemble better than one net", combined, net),
        judge_claim("distilled net better than one net", student, net),
    ]
    kept = _gain_kept(name, plans)
    found = "; ".join(filter(None, (kept.note, f"published: {PUBLISHED_GAIN_KEPT}%")))
    sentences.append(f"The student keeps {kept.seeds[0]:.0f}% of the ensemble's mean gain ({found}).")
    for share in plans[0].size.shares:
        folders = {method: few_data_folder(share, method) for method in FEW_DATA_METHODS}
        errors = {
            method: to_errors([plan.frame_accuracy(folder) for plan in plans]) for method, folder in folders.items()
        }
        percent = f"With {100 * share:g}% of the data, soft targets better than"
        # both, because early stopping helps the paper's networks and hurts these
        for method, words in (("stopped", "labels with early stopping"), ("hard", "labels to the end")):
            sentences.append(judge_claim(f"{percent} {words}", errors["soft"], errors[method]))
        for method, words in (("hard", "labels"), ("soft", "soft targets")):
            fall = mean(_fall_from_peak(plan.curve(folders[method])) for plan in plans)
            sentences.append(f"With {words} the validation accuracy ends {fall:.1f} points below its peak.")
    return f"{name}, over {len(plans)} paired seeds: {' '.join(sentences)}"


def _measure(
    plans: Sequence[SpeechPlan], accuracy: Callable[[SpeechPlan, str], float]
) -> tuple[list[float], list[float], list[float]]:
    """Return the accuracies of one network, of the ensemble and of its student, one per seed."""
    return (
        # the mean of the members, so that the gain of the ensemble does not depend on one of them
        [mean(accuracy(plan, f"net-{number}") for number in range(plan.size.nets)) for plan in plans],
        [accuracy(plan, "ensemble") for plan in plans],
        [accuracy(plan, "distilled") for plan in plans],
    )


def _gain_kept(name: str, plans: Sequence[SpeechPlan]) -> TableRow:
    net, combined, student = map(to_errors, _measure(plans, SpeechPlan.frame_accuracy))
    published = PUBLISHED_GAIN_KEPT if plans[0].speaker is None else None
    return gain_kept_row(f"{name}: gain transferred", student, combined, net, published)


def _fall_from_peak(curve: Sequence[tuple[float, float]]) -> float:
    return max(accuracy for _, accuracy in curve) - curve[-1][1]
