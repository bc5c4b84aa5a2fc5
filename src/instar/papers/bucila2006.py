"""Bucila, Caruana and Niculescu-Mizil 2006, "Model compression": an ensemble in one small network.

A library of classifiers is fitted to at most 4,000 rows, and an ensemble is selected from it on validation rows. A
network of one hidden layer then learns the ensemble's predictions on these rows and on manufactured ones. Data sets of
the paper that are not here have like ones in their place: `digits.p1` and `digits.p2` for the letters (0 against the
others; 0 to 4 against 5 to 9), `churn` for Adult, and `diamonds` (an ideal cut or not) for CovType.

The paper's numbers for each data set are in figures alone. Choices of this module:

1. The library has 18 models, 12 of them at scale `small`, and the paper's thousands of them.
2. The student minimises the cross-entropy with the ensemble, and the paper's the squared error.
3. All students see as many samples in all, so more rows are not more training.
4. MUNGE changes one row of each pair; see `Munge`.

The control arm learns from the labels of the real rows. The loss is the root of the mean squared error of the
probability of the second class on test rows, as in the paper. The gain that a student keeps is how far it goes from the
loss of the best single model, chosen on validation rows, to that of the ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import mean
from typing import Any

from torch import Tensor

from instar.config import RunConfig, validate
from instar.data.dataset import Data, load_data
from instar.models.trained import TrainedRun
from instar.papers.claims import judge_claim, mean_over_problems
from instar.papers.model_library import Library
from instar.papers.table import Order, Table, TableRow
from instar.runs.predictions import read_predictions
from instar.runs.run import Run
from instar.stages.arguments import shared_target_settings
from instar.stages.components import GivenObjects
from instar.stages.cost import measure_cost
from instar.stages.stage import Stage
from instar.teachers.ensemble import Ensemble
from instar.teachers.module import Module

TITLE = "Bucila, Caruana and Niculescu-Mizil 2006: an ensemble compressed into one small network"
DATA = "../shared/data"
NUM_TRAINING_ROWS = 4000
TRAINING = {"batch_size": 128, "learning_rate": 3e-3, "checkpoint_seconds": 60.0, "log_every": 500}
WIDTHS = (8, 32, 128, 256)


@dataclass(frozen=True)
class CompressionScale:
    """Amount of work for a table.

    Args:
        names: data sets.
        seeds: choices of training and validation rows, each with a library and its students.
        models: models of the library.
        rows: numbers of manufactured rows; the largest is that of all generators and widths.
        widths: hidden units of the students; the last but one is that of all generators and numbers of rows.
        samples_seen: samples that each student sees in its training.
    """

    names: tuple[str, ...]
    seeds: int
    models: int
    rows: tuple[int, ...]
    widths: tuple[int, ...] = WIDTHS
    samples_seen: int = 400_000


_ALL = ("digits.p1", "digits.p2", "churn", "diamonds")

SCALES = {
    "smoke": CompressionScale(("digits.p2",), 2, 2, (300,), (2, 8, 12), 12_000),
    "small": CompressionScale(_ALL[1:], 3, 12, (4000, 20_000), samples_seen=200_000),
    "paper": CompressionScale(_ALL, 10, 18, (4000, 40_000, 400_000), samples_seen=4_000_000),
}

GENERATORS = ("munge", "naive-bayes", "marginals")


def load_problem(name: str, folder: str, seed: int) -> Data:
    """Return a problem of two classes, with training and validation rows that a seed draws."""
    common: dict[str, Any] = {"validation": 0.15, "split_seed": seed}
    if name.startswith("digits"):
        from sklearn.datasets import load_digits

        inputs, digits = load_digits(return_X_y=True)
        labels = ["yes" if one else "no" for one in (digits == 0 if name.endswith("p1") else digits < 5)]
        return load_data((inputs[:1200], labels[:1200], inputs[1200:], labels[1200:]), inputs="numbers", **common)
    import pandas

    target = "churn" if name == "churn" else "cut"
    parts = {
        split: pandas.concat([pandas.read_parquet(file) for file in sorted(Path(folder, name).glob(f"{split}-*"))])
        for split in ("train", "test")
    }
    given = {
        split: (part.drop(columns=target), [("yes" if one in ("Yes", "Ideal") else "no") for one in part[target]])
        for split, part in parts.items()
    }
    return load_data(given, subset=NUM_TRAINING_ROWS, **common)


@dataclass(frozen=True, eq=False)
class Compression:
    """One problem under one seed: an ensemble, and its students.

    Args:
        order: settings of the table.
        name: name of the problem.
        seed: seed of the rows and of the students.
    """

    order: Order
    name: str
    seed: int

    @property
    def size(self) -> CompressionScale:
        """The amount of work."""
        return SCALES[self.order.scale]

    @cached_property
    def data(self) -> Data:
        """The rows."""
        return load_problem(self.name, self.order.data, self.seed)

    @cached_property
    def library(self) -> Library:
        """The fitted models."""
        return Library.fit(self.data, self.size.models)

    @cached_property
    def teacher(self) -> Ensemble:
        """The ensemble."""
        return self.library.as_teacher(self.data.classes)

    def folder(self, arm: str) -> Path:
        """Return the run folder of an arm."""
        return self.order.out / self.name / arm / str(self.seed)

    def stages(self) -> Iterator[Stage]:
        """Yield all students."""
        width = self.size.widths[-2]
        yield self._stage("labels", self.data, width, None)
        yield self._stage("real", self.data, width, self.teacher)
        for rows in self.size.rows:
            for generator in GENERATORS if rows == self.size.rows[-1] else GENERATORS[:1]:
                data = self.data.select(transfer=generator, transfer_rows=rows, transfer_seed=self.seed)
                yield self._stage(f"{generator}-{rows}", data, width, self.teacher)
                if generator == "munge" and rows == self.size.rows[-1]:
                    for other in (one for one in self.size.widths if one != width):
                        yield self._stage(f"munge-{rows}-width-{other}", data, other, self.teacher)

    def _stage(self, arm: str, data: Data, width: int, teacher: Ensemble | None) -> Stage:
        epochs = max(1, round(self.size.samples_seen / len(data.train)))
        values: dict[str, Any] = {
            "data": data.config.model_dump(),
            "model": {"name": "mlp", "arguments": {"widths": [width]}},
            "training": {**TRAINING, "epochs": epochs, "evaluate_every": epochs},
            "seed": self.seed,
        }
        if teacher is not None:
            targets = shared_target_settings(self.order.out, self.order.targets or "store")
            values |= {"teachers": ["Ensemble"], "objective": "SoftTargets(1)", **targets}
        given = GivenObjects(data=data, teacher=teacher)
        return Stage(validate(RunConfig, values), self.folder(arm), given, show=False)

    def loss(self, arm: str) -> float:
        """Return the loss of an arm, in points."""
        found = read_predictions(Run(self.folder(arm)))
        return measure_loss(found["test.logits"].double().softmax(1), found["test.labels"])

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The losses of the best model and of the ensemble, in points."""
        labels = self.data.test.labels
        best, ensemble = (measure_loss(found, labels) for found in self.library.predict(self.data.test))
        return best, ensemble


def measure_loss(probabilities: Tensor, labels: Tensor) -> float:
    """Return 100 times the root of the mean squared error of the probability of the second class.

    >>> import torch
    >>> measure_loss(torch.tensor([[0.5, 0.5], [0.5, 0.5]]), torch.tensor([0, 1]))
    50.0
    """
    return 100 * (probabilities[:, 1] - labels).square().mean().sqrt().item()


def run(order: Order) -> Table:
    """Train the missing runs, and return the table."""
    size = SCALES[order.scale]
    names = [name for name in size.names if not order.nets or name in order.nets]
    rows: list[TableRow] = []
    losses: dict[str, list[list[float]]] = {}
    for name in names:
        tried = [Compression(order, name, seed) for seed in order.seed_numbers(size.seeds)]
        for one in tried:
            order.train(one.stages())
        arms = {str(stage.out.parent.name): one for one in tried[:1] for stage in one.stages()}
        rows += _rows(name, tried, list(arms))
        for arm in arms:
            losses.setdefault(arm, []).append([one.loss(arm) for one in tried])
    return Table(TITLE, tuple(rows), _findings(losses, size))


def _rows(name: str, tried: list[Compression], arms: list[str]) -> list[TableRow]:
    best, ensemble = zip(*(one.bounds for one in tried), strict=True)
    row: Callable[..., TableRow] = partial(TableRow, published=None)
    found = [
        row(f"{name}: best single model", "loss", "points", seeds=best, note=tried[0].library.best),
        row(f"{name}: ensemble", "loss", "points", seeds=ensemble),
    ]
    for arm in arms:
        mine = [one.loss(arm) for one in tried]
        found.append(row(f"{name}: {arm}", "loss", "points", seeds=mine))
        # a mean of ratios would be ruled by the seeds with the smallest gain
        if (gain := mean(best) - mean(ensemble)) > 0:
            found.append(row(f"{name}: {arm}", "gain kept", "%", seeds=[100 * (mean(best) - mean(mine)) / gain]))
    return found + _measure(name, tried[0])


def _measure(name: str, one: Compression) -> list[TableRow]:
    # how often the student is smaller and faster; one row, because many are not timed for the slowest ensembles
    arm = f"munge-{one.size.rows[-1]}"
    folder = one.folder(arm)
    smaller = one.library.count_bytes() / (folder / "weights.safetensors").stat().st_size
    network = Module(TrainedRun(folder).model, one.data.classes)
    ensemble, student = (
        measure_cost(model, one.data.test)["latency"]["1"]["median"] for model in (one.teacher, network)
    )
    return [
        TableRow(f"{name}: ensemble over {arm}", "bytes", "times", None, [smaller]),
        TableRow(f"{name}: ensemble over {arm}", "seconds for one row", "times", None, [ensemble / student]),
    ]


def _findings(losses: dict[str, list[list[float]]], size: CompressionScale) -> str:
    most = size.rows[-1]
    means = {arm: mean_over_problems(found) for arm, found in losses.items()}
    munge = means[f"munge-{most}"]
    if len(munge) < 2:  # one pair settles nothing
        return ""
    claims = [
        (f"MUNGE better than naive Bayes, {most:,} rows", f"naive-bayes-{most}"),
        (f"MUNGE better than independent columns, {most:,} rows", f"marginals-{most}"),
        ("MUNGE better than real rows alone", "real"),
        ("MUNGE better than labels", "labels"),
    ]
    return "\n".join(f"- {judge_claim(words, munge, means[arm])}" for words, arm in claims)
