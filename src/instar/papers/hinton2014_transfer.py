"""Hinton, Vinyals and Dean 2015, section 4: on which recordings a student learns what an ensemble knows.

In the paper one student keeps 86% of the gain of ten acoustic models. In the table `hinton2014-speech` ten networks
gain little over one, and their student keeps little of that. Here 30% of the recordings have labels, and a word has
ten states instead of three, so that ten networks gain more. Students meet them on three kinds of
recordings:

1. The recordings that the networks learnt from, as in the paper.
2. The same recordings under views: other speeds, noise, masked times and bands.
3. All recordings of the training split, without a label.

Choices where the paper leaves room:

1. Students start from the same weights, and take three times the steps of the networks, because a student without
   labels learns slowly; one takes as many, to show it.
2. Controls take the same steps on the same samples without the ensemble: with labels, and where there are none with
   one of the ten networks as the teacher.
3. The baseline is the mean of the ten networks.
4. The table says how each student agrees with its teacher on recordings with labels and on others.
5. NLL stands beside the frame error, because the border between two states of a word has no true place: an ensemble
   gains more in what it says of a frame than in its likeliest state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

from instar.papers.claims import compare_arms, gain_kept_row, judge_claim
from instar.papers.speech_recipe import PUBLISHED_FRAME_ACCURACIES, PUBLISHED_GAIN_KEPT
from instar.papers.table import Order, Table, TableRow
from instar.papers.transfer_plan import ARMS, Arm, TransferPlan, TransferScale
from instar.procedures.evaluate import evaluate
from instar.runs.run import Run

TITLE = "Hinton, Vinyals and Dean 2015, section 4: on which recordings an ensemble hands on its gain"
DATA = "spoken_digits"

SCALES = {
    "smoke": TransferScale(2, 2, (16,), 0.5, 2, {"subset": 100}),
    "small": TransferScale(3, 10, (256, 256, 256), 0.3, 20),
    "gpu": TransferScale(6, 10, (2560,) * 8, 0.3, 40),
    "paper": TransferScale(6, 10, (2560,) * 8, 0.3, 40),
}
SPLITS = {"train": "recordings with labels", "validation": "validation recordings", "test": "test recordings"}


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    seeds = order.seed_numbers(size.seeds)
    plans = [TransferPlan(size, order.data, order.out / str(seed), seed) for seed in seeds]
    # members, then ensembles, then students: an ensemble is a run folder that students name as their teacher
    order.train(stage for plan in plans for stage in plan.nets())
    for plan in plans:
        order.report(str(plan.combine().path.relative_to(order.out)))
    order.train(stage for plan in plans for stage in plan.students())
    rows = [row for measure in MEASURES for row in _rows(plans, measure)]
    for arm in ARMS:
        if arm.teacher:
            rows += [
                TableRow(f"{arm.words}: agreement on {words}", "share of frames", "%", None, agreements)
                for words, agreements in _agreements(plans, arm).items()
            ]
    return Table(TITLE, tuple(rows), _findings(plans))


@dataclass(frozen=True)
class Measure:
    """A number of a run that is lower for a better one.

    Args:
        words: name in the table.
        unit: unit.
        gains: unit of a difference.
        of: computes it for a run of a plan.
        published: the paper's frame errors of one net, the ensemble and the student; empty if it has none.
    """

    words: str
    unit: str
    gains: str
    of: Callable[[TransferPlan, str], float]
    published: Mapping[str, float] = field(default_factory=dict)

    def over_nets(self, plan: TransferPlan) -> float:
        """Return its mean over the members of the ensemble."""
        return mean(self.of(plan, stage.out.name) for stage in plan.nets())


MEASURES = (
    Measure(
        "frame error",
        "%",
        "points",
        lambda plan, name: 100 * float(Run(plan.out / name).metrics["error"]),
        {name: round(100 - accuracy, 1) for name, accuracy in PUBLISHED_FRAME_ACCURACIES.items()},
    ),
    Measure("NLL", "nats", "nats", lambda plan, name: float(Run(plan.out / name).metrics["nll"])),
)


def _rows(plans: Sequence[TransferPlan], measure: Measure) -> list[TableRow]:
    def row(words: str, values: Sequence[float], published: str = "") -> TableRow:
        return TableRow(words, measure.words, measure.unit, measure.published.get(published), values)

    net = [measure.over_nets(plan) for plan in plans]
    combined = [measure.of(plan, "ensemble") for plan in plans]
    rows = [
        row(f"one net, mean of {plans[0].size.nets}", net, "net"),
        row("their ensemble", combined, "ensemble"),
        _gain("ensemble over one net", combined, net, measure),
    ]
    for arm in ARMS:
        values = [measure.of(plan, arm.folder) for plan in plans]
        is_published = arm.folder == "same" and bool(measure.published)
        rows.append(row(arm.words, values, "distilled" if is_published else ""))
        if arm.teacher == "ensemble":
            rows.append(_gain(f"{arm.words}, over one net", values, net, measure))
            share, words = PUBLISHED_GAIN_KEPT if is_published else None, f"{arm.words}: gain in {measure.words} kept"
            rows.append(gain_kept_row(words, values, combined, net, share))
        if arm.control:
            control = [measure.of(plan, arm.control) for plan in plans]
            rows.append(_gain(f"{arm.words}, over its control", values, control, measure))
    return rows


def _gain(words: str, ours: Sequence[float], reference: Sequence[float], measure: Measure) -> TableRow:
    return replace(compare_arms(words, ours, reference, None), quantity=f"gain in {measure.words}", unit=measure.gains)


def _agreements(plans: Sequence[TransferPlan], arm: Arm) -> dict[str, list[float]]:
    """Return on how many frames a student has the likeliest state of its teacher, in %, by the frames."""
    found: dict[str, list[float]] = {}
    for plan in plans:
        for split, words in SPLITS.items():
            metrics = evaluate(plan.out / arm.folder, plan.data, split=split, teacher=plan.out / arm.teacher)
            found.setdefault(words, []).append(100 * float(metrics["agreement"]))
    return found


def _findings(plans: Sequence[TransferPlan]) -> str:
    if len(plans) < 2:
        return ""
    sentences = [sentence for measure in MEASURES for sentence in _judge(plans, measure)]
    return f"Over {len(plans)} paired seeds: {' '.join(sentences)}"


def _judge(plans: Sequence[TransferPlan], measure: Measure) -> Iterator[str]:
    net = [measure.over_nets(plan) for plan in plans]

    def judge(claim: str, folder: str, reference: Sequence[float]) -> str:
        ours = [measure.of(plan, folder) for plan in plans]
        return judge_claim(f"{claim} in {measure.words}", ours, reference, measure.gains)

    yield judge("Ensemble better than one net", "ensemble", net)
    for arm in ARMS:
        if arm.teacher == "ensemble":
            yield judge(f"Student ({arm.words}) better than one net", arm.folder, net)
        if arm.control:
            yield judge("... than its control", arm.folder, [measure.of(plan, arm.control) for plan in plans])
