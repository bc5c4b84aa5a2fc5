"""Furlanello et al. 2018, table 6: what a born-again LSTM gains, by the length of training.

The table `furlanello2018-ptb` trains for two epochs, so that its gain may be faster learning alone. Here networks from
labels and their BAN+L students are trained for several lengths, each with a schedule of its own, and the validation
perplexity is measured after each epoch. The other choices of `furlanello2018_ptb` hold here too.

A student costs the training of its teacher as well. So one comparison is between a student and a network from labels
that was trained for as long as the student and its teacher together, where two lengths differ by a factor of two. They
share the seed of the lineage, and the labels' network has the initial weights of the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

from instar.analysis.metrics import perplexity
from instar.papers import furlanello2018_ptb as penn
from instar.papers.claims import compare_arms, judge_claim
from instar.papers.furlanello2018 import BAN_L_OBJECTIVE, GenerationsPlan, Net
from instar.papers.table import Order, Table, TableRow
from instar.runs.run import Run
from instar.stages.stage import Stage

TITLE = "Furlanello et al. 2018, table 6: Penn Treebank, by the length of training"
DATA = penn.DATA
ARMS = {"teacher": "teacher", "ban+l": "BAN+L"}
"""Titles of the arms, by their names."""


@dataclass(frozen=True)
class LengthScale:
    """Amount of work for a table.

    Args:
        base: settings of the networks, the first of which is trained.
        lengths: number of seeds by the number of epochs.
    """

    base: penn.PennTreebankScale
    lengths: Mapping[int, int]


SCALES = {
    "smoke": LengthScale(penn.SCALES["smoke"], {1: 2, 2: 1}),
    "small": LengthScale(penn.SCALES["small"], {4: 3, 8: 1}),
    "gpu": LengthScale(penn.SCALES["gpu"], {10: 3, 20: 3, 40: 1}),
    "paper": LengthScale(penn.SCALES["paper"], {10: 3, 20: 3, 40: 3}),
}


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    lengths = [_make_length(order, size.base, epochs, seeds) for epochs, seeds in size.lengths.items()]
    for arm in ARMS:
        order.train(length.stage(arm, seed) for length in lengths for seed in length.plan.seeds)
    rows = [row for length in lengths for row in length.rows()]
    rows += [_compare_cost(short, long) for short, long in product(lengths, lengths) if long.epochs == 2 * short.epochs]
    return Table(TITLE, tuple(rows), " ".join(length.finding() for length in lengths if len(length.plan.seeds) > 1))


@dataclass(frozen=True)
class Length:
    """The runs of one length of training.

    Args:
        epochs: length of training.
        net: network of all arms.
        plan: where its runs are.
    """

    epochs: int
    net: Net
    plan: GenerationsPlan

    def stage(self, arm: str, seed: int) -> Stage:
        """Return the run of an arm."""
        if arm == "teacher":
            return self.plan.labels(self.net, seed)
        return self.plan.student(self.net, seed, arm, BAN_L_OBJECTIVE, 1, self.plan.folder(self.net, "teacher", seed))

    def title(self, arm: str) -> str:
        """Return the title of the rows of an arm."""
        return f"{self.net.name}, {self.epochs} epochs: {ARMS[arm]}"

    def curves(self, arm: str) -> list[list[float]]:
        """Return the validation perplexities after each epoch, one list per seed."""
        runs = [Run(self.plan.folder(self.net, arm, seed)) for seed in self.plan.seeds]
        lines = [[line for line in run.history() if line["kind"] == "validation"] for run in runs]
        return [[perplexity(line["nll"]) for line in measured] for measured in lines]

    def rows(self) -> list[TableRow]:
        """Return the perplexities of both arms, and the gains."""
        curves = {arm: list(zip(*self.curves(arm), strict=True)) for arm in ARMS}
        tests = {arm: penn.perplexities(self.plan, self.net, arm) for arm in ARMS}
        rows = []
        for arm in ARMS:
            for epoch, found in enumerate(curves[arm], start=1):
                quantity = f"validation perplexity after epoch {epoch}"
                rows.append(TableRow(self.title(arm), quantity, "per word", None, found))
            rows.append(
                TableRow(self.title(arm), "test perplexity", "per word", self.net.published.get(arm), tests[arm])
            )
        for epoch, (teacher, student) in enumerate(zip(curves["teacher"], curves["ban+l"], strict=True), start=1):
            gain = compare_arms(f"{self.title('ban+l')} over the teacher", student, teacher, None)
            rows.append(replace(gain, quantity=f"validation gain after epoch {epoch}", unit="perplexity"))
        gain = compare_arms(f"{self.title('ban+l')} over the teacher", tests["ban+l"], tests["teacher"], None)
        return [*rows, replace(gain, quantity="test gain", unit="perplexity")]

    def finding(self) -> str:
        """Return the sentence on the paper's claim."""
        claim = f"{self.title('ban+l')} better than its teacher, over {len(self.plan.seeds)} paired seeds"
        return judge_claim(
            claim,
            penn.perplexities(self.plan, self.net, "ban+l"),
            penn.perplexities(self.plan, self.net, "teacher"),
            "in perplexity",
        )


def _make_length(order: Order, base: penn.PennTreebankScale, epochs: int, seeds: int) -> Length:
    training = {**base.training, "evaluate_every": 1}
    net = base.nets[0]
    folder = replace(order, out=order.out / f"{epochs}-epochs")
    size = replace(base, epochs=epochs, training=training)
    return Length(epochs, net, penn.make_plan(folder, size, net, order.seed_numbers(seeds)))


def _compare_cost(short: Length, long: Length) -> TableRow:
    # of the seeds that both lengths have
    pairs = zip(
        penn.perplexities(short.plan, short.net, "ban+l"),
        penn.perplexities(long.plan, long.net, "teacher"),
        strict=False,
    )
    student, teacher = zip(*pairs, strict=True)
    title = f"{short.title('ban+l')} over {long.epochs} epochs from labels"
    return replace(compare_arms(title, student, teacher, None), quantity="test gain", unit="perplexity")
