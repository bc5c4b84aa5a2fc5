"""Furlanello et al. 2018, "Born-Again Neural Networks", table 6: language models of the Penn Treebank.

Published numbers are perplexities per word on validation and test; the end of a line counts as a word.

Choices where the paper leaves room:

1. The LSTM has two layers: one tied layer of 1,500 units has 33 million weights, two have the 51 million of the paper.
2. The recipe of the LSTM is that of PyTorch's word_language_model, whose settings the paper names: SGD at 20 on the
   mean loss per word (the paper's 1 is on the sum over 35 steps), gradients clipped at 0.25, and the learning rate
   divided by 4 whenever the validation perplexity does not improve on its best. The CNN-LSTM has the paper's 2 and the
   clip at 5 of Kim et al. 2016, both on the sum: 70 and 1/7 on the mean. At the scale `small` both have the first
   recipe with a cosine schedule, chosen on validation, and two epochs to save time (docs/log.md).
3. BAN+L weighs soft targets and labels equally. Pure BAN is included because the paper says that it does not work.
4. All numbers are those of the last epoch.
5. Controls that the paper did not run: a second network from labels with the seed of the students, alone and in an
   ensemble with the teacher, because any second network improves on the first in an ensemble.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import Any

from instar.papers.claims import compare_arms, judge_claim
from instar.papers.furlanello2018 import BAN_L_OBJECTIVE, BAN_OBJECTIVE, GenerationsPlan, Net
from instar.papers.table import FAST_TRAINING, Order, Table, TableRow
from instar.procedures.ensemble import ensemble
from instar.runs.run import Run
from instar.stages.stage import Stage

TITLE = "Furlanello et al. 2018, table 6: Penn Treebank"
DATA = "ptb-text-only/ptb_text_only"

PENN_STUDENT_OBJECTIVES = {"ban+l": BAN_L_OBJECTIVE, "ban": BAN_OBJECTIVE}
TWO_MODEL_ENSEMBLES = {"teacher-and-ban+l": ("teacher", "ban+l"), "two-from-labels": ("teacher", "labels-2")}
"""Members of each ensemble, whose probabilities are averaged, by the name of its folder."""


@dataclass(frozen=True)
class PennTreebankScale:
    """Amount of work for a table.

    Args:
        seeds: lineages per network.
        nets: networks of the table.
        epochs: epochs of every run.
        data: settings of the data that differ from the defaults.
        training: settings of the training that differ from `FAMILY_TRAINING`.
    """

    seeds: int
    nets: tuple[Net, ...]
    epochs: int
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the networks that the rows are about."""
        return tuple(net.name for net in self.nets)


LSTM_PERPLEXITIES = {"teacher": 71.87, "ban+l": 68.56, "teacher validation": 75.11, "ban+l validation": 71.19}
CNN_LSTM_PERPLEXITIES = {"teacher": 80.05, "ban+l": 76.97, "teacher validation": 83.69, "ban+l validation": 80.27}


def _nets(units: int, dropout: float, character_net: Mapping[str, Any], published: bool) -> tuple[Net, Net]:
    lstm = {"units": units, "layers": 2, "dropout": dropout}
    return (
        Net("LSTM", "lstm", lstm, LSTM_PERPLEXITIES if published else {}),
        Net("CNN-LSTM", "character-lstm", character_net, CNN_LSTM_PERPLEXITIES if published else {}),
    )


_SMALL_CHARACTER_NET = {"units": 200, "dropout": 0.2, "filters": [[1, 25], [2, 50], [3, 75], [4, 100]], "highways": 1}
_TINY_CHARACTER_NET = {"units": 8, "dropout": 0.0, "filters": [[1, 4], [2, 4]], "highways": 1}

_SMALL_TRAINING = {"learning_rate": 20.0, "gradient_clip": 0.25}
"""Settings of small networks of both families."""
_SHORT_TRAINING = _SMALL_TRAINING | {"schedule": "cosine", "batch_size": 20}
"""Settings for a few epochs, in which a plateau schedule would never lower the rate."""

SCALES = {
    # perplexities of a text of 60 windows cannot be compared with published ones
    "smoke": PennTreebankScale(
        2, _nets(8, 0.0, _TINY_CHARACTER_NET, False), 1, {"subset": 60, "length": 5}, _SMALL_TRAINING
    ),
    "small": PennTreebankScale(3, _nets(200, 0.2, _SMALL_CHARACTER_NET, True), 2, training=_SHORT_TRAINING),
    "gpu": PennTreebankScale(3, _nets(1500, 0.65, {}, True), 40),
    "paper": PennTreebankScale(1, _nets(1500, 0.65, {}, True), 40),
}

_SHARED_TRAINING = FAST_TRAINING | {"optimiser": "sgd", "momentum": 0.0, "schedule": "plateau", "log_every": 200}
FAMILY_TRAINING: dict[str, dict[str, Any]] = {
    "lstm": {"learning_rate": 20.0, "gradient_clip": 0.25, "batch_size": 32, "factor": 0.25},
    "character-lstm": {
        # 2 and 5 on the sum over 35 words; the loop's loss is their mean
        "learning_rate": 70.0,
        "gradient_clip": 5 / 35,
        "batch_size": 20,
        "factor": 0.5,
        "least_fall": 0.5,
    },
}
"""Training settings of each family, in addition to the shared ones."""


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    size = replace(size, nets=order.chosen(size.nets))
    seeds = order.seed_numbers(size.seeds)
    # a plan for each network, because both have recipes of their own
    plans = [(make_plan(order, size, net, seeds), net) for net in size.nets]
    order.train(plan.labels(net, seed) for plan, net in plans for seed in seeds)
    order.train(stage for plan, net in plans for seed in seeds for stage in _second_wave(plan, net, seed))
    for plan, net in plans:
        for seed in seeds:
            for name, members in TWO_MODEL_ENSEMBLES.items():
                folders = [plan.folder(net, member, seed) for member in members]
                ensemble(folders, out=plan.folder(net, name, seed))
    rows = [row for plan, net in plans for row in _rows(plan, net)]
    findings = [_findings(plan, net) for plan, net in plans] if len(seeds) > 1 else []
    return Table(TITLE, tuple(rows), "\n\n".join(findings))


def make_plan(order: Order, size: PennTreebankScale, net: Net, seeds: Sequence[int]) -> GenerationsPlan:
    """Return the stages of a network, with the recipe of its family."""
    data = {"source": order.data, **size.data}
    training = _SHARED_TRAINING | FAMILY_TRAINING[net.family] | {"epochs": size.epochs} | dict(size.training)
    return GenerationsPlan(order.out, data, training, "Identity()", seeds)


def _second_wave(plan: GenerationsPlan, net: Net, seed: int) -> list[Stage]:
    teacher = plan.folder(net, "teacher", seed)
    students = [plan.student(net, seed, name, text, 1, teacher) for name, text in PENN_STUDENT_OBJECTIVES.items()]
    # the control learns from labels with the seed of the students
    return [*students, plan.labels(net, seed, 1, "labels-2")]


def _rows(plan: GenerationsPlan, net: Net) -> list[TableRow]:
    words = {
        "teacher": "teacher",
        "ban+l": "BAN+L",
        "ban": "BAN, soft targets alone",
        "labels-2": "a second net from labels",
        "teacher-and-ban+l": "ensemble of teacher and BAN+L",
        "two-from-labels": "ensemble of two nets from labels",
    }
    rows = []
    for name, text in words.items():
        for split in ("validation", "test"):
            theirs = net.published.get(name if split == "test" else f"{name} validation")
            found = perplexities(plan, net, name, split)
            rows.append(TableRow(f"{net.name}: {text}", f"{split} perplexity", "per word", theirs, found))
    reference = perplexities(plan, net, "teacher")
    gain = net.published.get("teacher", 0) - net.published.get("ban+l", 0)  # 0 if neither is published
    for name in ("ban+l", "ban", "labels-2"):
        theirs = round(gain, 2) if gain and name == "ban+l" else None
        title = f"{net.name}: {words[name]} over the teacher"
        row = compare_arms(title, perplexities(plan, net, name), reference, theirs)
        rows.append(replace(row, unit="perplexity"))
    return rows


def _findings(plan: GenerationsPlan, net: Net) -> str:
    claims = [
        ("BAN+L better than its teacher", "ban+l", "teacher"),
        ("BAN+L better than a second net from labels", "ban+l", "labels-2"),
        ("BAN from soft targets alone worse than its teacher, as the paper says", "teacher", "ban"),
        ("Teacher and BAN+L together better than two nets from labels", "teacher-and-ban+l", "two-from-labels"),
    ]
    sentences = [
        judge_claim(claim, perplexities(plan, net, ours), perplexities(plan, net, theirs), "in perplexity")
        for claim, ours, theirs in claims
    ]
    teacher = mean(perplexities(plan, net, "teacher"))
    return f"{net.name}, teacher at {teacher:.1f}, over {len(plan.seeds)} paired seeds: {' '.join(sentences)}"


def perplexities(plan: GenerationsPlan, net: Net, name: str, split: str = "test") -> list[float]:
    """Return the perplexities of an arm on a split after the last epoch, one per seed."""
    # result.json has the test metrics under "metrics", and those of the validation split under its name
    results = [Run(plan.folder(net, name, seed)).result for seed in plan.seeds]
    return [float(result["metrics" if split == "test" else split]["perplexity"]) for result in results]
