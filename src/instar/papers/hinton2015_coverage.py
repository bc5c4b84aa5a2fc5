"""Hinton, Vinyals and Dean 2015, section 5.5: the gain of specialists by the number that know the class.

The paper's generalist has an accuracy of 25%, and up to ten and more of its specialists know a class; the relative gain
in right predictions grows with their number. The table `hinton2015-specialists` has a better generalist, and two
specialists for a class on average. This one has a weaker generalist and several sets of specialists of one generalist,
which differ in how many there are.

Choices where the paper leaves room:

1. The sets of a generalist cost the same: with twice the specialists, each is trained for half the epochs. One more
   set has twice the specialists at twice the cost, so that each is trained for as long as in the smallest set.
2. So the effect of coverage is measured in two ways: between sets, where the same samples are known to more
   specialists, and within a set, as in the paper. Within a set coverage is mixed up with difficulty, because clusters
   follow the confusions of the generalist.
3. The generalist is a small network, which cannot hold all classes: then a specialist has much to add. On validation,
   specialists of a wide MLP with the same accuracy gained an eighth of this (docs/log.md).
4. Samples that ten or more specialists know are one row, as in the paper.
5. Seeds are paired: all sets of a seed share one generalist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from instar.analysis.significance import mean_interval
from instar.data.dataset import load_data
from instar.papers.claims import compare_arms, judge_claim, to_errors
from instar.papers.specialist_plan import (
    DIGITS_PROBLEM,
    JFT_NOTE,
    PUBLISHED_ACCURACIES,
    PUBLISHED_RELATIVE_GAINS,
    Problem,
    SpecialistPlan,
)
from instar.papers.table import FAST_TRAINING, Order, Table, TableRow
from instar.procedures.specialists.clusters import CLUSTERS_FILE, Clusters, cluster
from instar.procedures.specialists.combining import combine
from instar.procedures.specialists.evaluating import Coverage, Covered, evaluate
from instar.procedures.specialists.training import SpecialistRuns
from instar.runs.run import Run

TITLE = "Hinton, Vinyals and Dean 2015, section 5.5: the gain of specialists by coverage"
DATA = "uoft-cs/cifar100"
MOST = len(PUBLISHED_RELATIVE_GAINS) - 1
"""Samples that this many specialists or more know are one row."""


class SpecialistSet(NamedTuple):
    """How many specialists there are, and how long all of them are trained.

    Args:
        factor: number of specialists, as a multiple of the problem's.
        cost: epochs of all of them, as a multiple of those of the smallest set.
    """

    factor: int
    cost: int = 1

    def name(self, smallest: int) -> str:
        """Return the name of the set: its number of specialists, and its cost unless it is that of the smallest."""
        return f"{self.factor * smallest} specialists" + (f", {self.cost} times the cost" if self.cost > 1 else "")


EQUAL_COST = (SpecialistSet(1), SpecialistSet(2), SpecialistSet(4))


@dataclass(frozen=True)
class CoverageScale:
    """Amount of work for a table.

    Args:
        seeds: number of generalists, each with all sets of specialists.
        problems: data sets that a table can have, with the smallest set of specialists and the most epochs for each.
        sets: sets of specialists; the smallest is the first.
    """

    seeds: int
    problems: tuple[Problem, ...]
    sets: tuple[SpecialistSet, ...] = (*EQUAL_COST, SpecialistSet(2, 2))


def _cifar(epochs: int, expert: int, **data: Any) -> Problem:
    training = FAST_TRAINING | {"epochs": epochs, "evaluate_every": epochs, "optimiser": "adamw", "batch_size": 128}
    return Problem(
        "CIFAR-100",
        {"label_column": "fine_label", "validation": 0.1, "image_size": (16, 16)} | data,
        {"name": "cnn", "arguments": {"channels": [8, 16, 32], "hidden": 64}},
        "Crop(2) + Flip()",
        20,
        10,
        training | {"learning_rate": 2e-3, "weight_decay": 0.01, "log_every": 1000},
        # none stops early, or the sets would not have the cost that they name
        {"epochs": expert, "patience": 0, "evaluate_every": expert},
    )


SCALES = {
    "smoke": CoverageScale(
        2, (_cifar(1, 2, subset=1000), DIGITS_PROBLEM), (SpecialistSet(1), SpecialistSet(2), SpecialistSet(2, 2))
    ),
    "small": CoverageScale(3, (_cifar(15, 8),)),
    "gpu": CoverageScale(10, (_cifar(60, 32),)),
    "paper": CoverageScale(10, (_cifar(60, 32),)),
}


@dataclass(frozen=True)
class CoveragePlan:
    """A set of specialists of one generalist.

    Args:
        plan: plan of the generalist.
        chosen: number and cost of the specialists.
    """

    plan: SpecialistPlan
    chosen: SpecialistSet

    @property
    def name(self) -> str:
        """Name of the set."""
        return self.chosen.name(self.plan.problem.clusters)

    @property
    def number(self) -> int:
        """Number of specialists."""
        return self.chosen.factor * self.plan.problem.clusters

    @property
    def coverage(self) -> float:
        """How many specialists know a class, on average over the classes."""
        return self.number * self.plan.problem.size / len(self.plan.data.classes)

    @property
    def epochs(self) -> int:
        """Epochs of each specialist."""
        return int(self.plan.problem.expert["epochs"]) * self.chosen.cost // self.chosen.factor

    def experts(self) -> SpecialistRuns:
        """Return the specialists; clusters that their folder already holds are read, not computed."""
        plan, folder = self.plan, self.plan.out / self.name.replace(",", "").replace(" ", "-")
        path, size = folder / CLUSTERS_FILE, plan.problem.size
        if not path.exists():
            found = cluster(
                plan.generalist, plan.data, split="validation", clusters=self.number, size=size, seed=plan.seed
            )
            folder.mkdir(parents=True, exist_ok=True)
            found.write(path)
        training = {**plan.problem.expert, "epochs": self.epochs, "evaluate_every": self.epochs}
        return SpecialistRuns(plan.generalist, Clusters.read(path), folder, "dustbin", training, plan.seed, show=False)

    def combine(self) -> Run:
        """Combine the generalist and the specialists."""
        experts = self.experts()
        out = experts.out.with_name(experts.out.name.replace("specialists", "combined"))
        return combine(self.plan.generalist, experts.folders(), self.plan.data, out=out)


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    problem = next((one for one in size.problems if one.folder == Path(order.data).name), size.problems[0])
    data = load_data(order.data, **problem.data)
    seeds = order.seed_numbers(size.seeds)
    plans = [SpecialistPlan(problem, order.data, order.out / str(seed), seed, data) for seed in seeds]
    order.train(plan.stage("generalist-0", 0) for plan in plans)
    by_set = [[CoveragePlan(plan, chosen) for plan in plans] for chosen in size.sets]
    order.train(stage for some in by_set for one in some for stage in one.experts().stages())
    found = [(some[0], [evaluate(one.combine()) for one in some]) for some in by_set]
    before = [100 * one.overall[0] for one in found[0][1]]
    generalist = TableRow("generalist", "accuracy", "%", PUBLISHED_ACCURACIES["overall"][0], before, {}, JFT_NOTE)
    rows = [row for one, coverages in found for row in _rows(one, coverages)]
    return Table(TITLE, (generalist, *rows), _findings(found))


def _rows(one: CoveragePlan, found: Sequence[Coverage]) -> list[TableRow]:
    note = f"{one.coverage:g} know a class on average; epochs of each: {one.epochs}"
    before, after = ([100 * coverage.overall[at] for coverage in found] for at in (0, 1))
    name, slopes = one.name, [coverage.slope for coverage in found]
    rows = [
        TableRow(name, "accuracy", "%", None, after, {}, note),
        compare_arms(f"{name}, over the generalist", to_errors(after), to_errors(before), None),
        TableRow(name, "relative gain", "%", None, relative_gains(found)),
        TableRow(name, "slope", "percentage points per specialist that knows the class", None, slopes),
    ]
    for number in range(MOST + 1):
        known = [pool(coverage, number) for coverage in found]
        relative = [100 * row.relative_gain for row in known if row.relative_gain is not None]
        words = f"{number} or more" if number == MOST else str(number)
        if sum(row.samples for row in known):
            settings = {"samples": [row.samples for row in known], "gain": [row.gain for row in known]}
            note = (
                f"{JFT_NOTE}; {sum(row.gain for row in known):+} of {sum(row.samples for row in known):,} predictions"
            )
            title, published = f"{name}: {words} know the class", PUBLISHED_RELATIVE_GAINS[number]
            rows.append(TableRow(title, "relative gain", "%", published, relative, settings, note))
    return rows


def pool(found: Coverage, number: int) -> Covered:
    """Return the samples that a number of specialists know; for `MOST`, those that as many or more know.

    >>> rows = (Covered(2, 10, 4, 5), Covered(10, 10, 5, 6), Covered(12, 20, 5, 8))
    >>> pool(Coverage((0, 0), (0, 0), (0, 0, 0), rows), 10)
    Covered(specialists=10, samples=30, generalist=10, combined=14)
    """
    rows = [row for row in found.covered if min(row.specialists, MOST) == number]
    return Covered(number, *(sum(getattr(row, name) for row in rows) for name in ("samples", "generalist", "combined")))


def relative_gains(found: Sequence[Coverage]) -> list[float]:
    """Return the gain of each combination in right predictions, in % of those of its generalist."""
    return [100 * (after / before - 1) for before, after in (one.overall for one in found)]


def _findings(found: Sequence[tuple[CoveragePlan, Sequence[Coverage]]]) -> str:
    (fewest, theirs), *others = found
    if len(theirs) < 2:
        return ""
    between = [
        judge_claim(
            f"{one.name} have a larger relative gain than {fewest.name}",
            [-gain for gain in relative_gains(some)],  # lower is better
            [-gain for gain in relative_gains(theirs)],
            "percentage points",
        )
        for one, some in others
    ]
    within = []
    for one, some in found:
        middle, low, high = mean_interval([coverage.slope for coverage in some])
        within.append(f"{one.name}: {middle:+.2f} (95%: {low:+.2f} to {high:+.2f})")
    return (
        f"Over {len(theirs)} paired seeds: {' '.join(between)} Within a set, the relative gain changes by this many "
        f"percentage points with each further specialist that knows the class: {'; '.join(within)}. In the paper it "
        "grows from 0 to 14.1% at ten or more."
    )
