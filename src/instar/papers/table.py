"""A published table: the paper's numbers, ours beside them, and where ours come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Protocol, TypeVar

from instar.compute.precision import Precision
from instar.jobs import parse_jobs, run_all
from instar.runs.documents import EnvironmentFile
from instar.runs.environment import environment
from instar.runs.files import write_json, write_whole
from instar.runs.run import Run
from instar.stages.stage import Stage

DASH = "\u2013"
"""Stands for a number that is missing."""
FAST: Precision = "bfloat16"
"""The arithmetic that recipes name where the fastest will do; see `Order`."""


class Named(Protocol):
    """What rows are about."""

    @property
    def name(self) -> str:
        """As the paper writes it."""


N = TypeVar("N", bound=Named)


@dataclass(frozen=True)
class Order:
    """How a paper is to be run.

    Args:
        scale: a name in its `SCALES`.
        data: where its data are.
        out: the folder of the runs; every stage is a run folder in it.
        seeds: runs per row; none takes the scale's.
        jobs: runs at a time, or Ray; see `instar.jobs.outcomes`.
        report: told of every finished stage.
        targets: where the teachers' answers come from; none takes the paper's default.
        precision: what stands for the bfloat16 of the recipes.
        nets: names of those networks that rows are wanted of; none takes all.
    """

    scale: str
    data: str
    out: Path
    seeds: int | None
    jobs: int | str
    report: Callable[[str], None]
    targets: str | None = None
    precision: Precision = FAST
    nets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_jobs(self.jobs)  # refused before the first run

    def chosen(self, nets: Sequence[N]) -> tuple[N, ...]:
        """Return those of some networks that rows are wanted of."""
        return tuple(net for net in nets if not self.nets or net.name in self.nets)

    def train(self, stages: Iterable[Stage]) -> None:
        """Train those of some stages that are not trained yet, of which none needs another, and report each."""
        listed = [self._computed(stage) for stage in stages]
        names = [str(stage.out.relative_to(self.out)) for stage in listed]
        run_all([stage.run for stage in listed], self.jobs, lambda index, _: self.report(names[index]))

    def _computed(self, stage: Stage) -> Stage:
        """Return a stage whose fast arithmetic is the order's; what a recipe wants in float32 stays so."""
        training = stage.config.training
        fast = {name: self.precision for name in ("precision", "teacher_precision") if getattr(training, name) == FAST}
        config = stage.config.model_copy(update={"training": training.model_copy(update=fast)})
        return replace(stage, config=config)


@dataclass(frozen=True)
class TableRow:
    """One quantity.

    Args:
        row: what was trained, for people.
        quantity: what is measured.
        unit: of all its numbers.
        published: the paper's number; none where it has none.
        seeds: ours, one per seed; empty where it is missing.
        settings: what distinguishes this row's runs.
        note: where the text leaves room, or what a reader must know.
    """

    row: str
    quantity: str
    unit: str
    published: float | None
    seeds: Sequence[float]
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the row with mean and standard deviation over the seeds.

        >>> TableRow("a", "errors", "count", 74, [70, 72]).as_dict()["mean"]
        71
        """
        seeds = list(self.seeds)
        spread = {"mean": mean(seeds) if seeds else None, "sd": stdev(seeds) if len(seeds) > 1 else None}
        return asdict(self) | {"seeds": seeds} | spread


@dataclass(frozen=True)
class Table:
    """Rows with a title.

    Args:
        title: of the table.
        rows: its rows.
        findings: what they say about the paper's claims, in a paragraph; empty where the rows speak for themselves.
    """

    title: str
    rows: tuple[TableRow, ...]
    findings: str = ""

    def as_list(self) -> list[dict[str, Any]]:
        """Return the rows as JSON values."""
        return [row.as_dict() for row in self.rows]

    def as_markdown(self) -> str:
        """Return the table for people.

        >>> print(Table("T", (TableRow("net", "errors", "count", 74, [70, 72]),)).as_markdown())
        ## T
        <BLANKLINE>
        | row | quantity | published | ours | seeds | note |
        |---|---|---|---|---|---|
        | net | errors (count) | 74 | 71 ± 1.4 | 2 |  |
        <BLANKLINE>
        """
        lines = [
            f"## {self.title}",
            "",
            "| row | quantity | published | ours | seeds | note |",
            "|---|---|---|---|---|---|",
        ]
        for values in self.as_list():
            ours = DASH if values["mean"] is None else _number(values["mean"])
            if values["sd"] is not None:
                ours += f" ± {values['sd']:.2g}"
            published = DASH if values["published"] is None else _number(values["published"])
            quantity = f"{values['quantity']} ({values['unit']})"
            lines.append(
                f"| {values['row']} | {quantity} | {published} | {ours} | {len(values['seeds'])} | {values['note']} |"
            )
        if self.findings:
            lines += ["", self.findings]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, started: float) -> None:
        """Write table.json, table.md, and origin.json: command, commit, versions, machine, seconds, date.

        The seconds are those of the last command; the training seconds, commits and arithmetics are those of all runs
        below the folder, also of runs that an earlier command of a killed table finished.

        Args:
            folder: where they go; the run folders lie below it.
            started: when the last command began, by `time.monotonic`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "table.json", self.as_list())
        write_whole(folder / "table.md", lambda path: path.write_text(self.as_markdown()))
        runs = [Run(path.parent) for path in folder.rglob("result.json")]
        commits = {str(run.document("environment.json", EnvironmentFile).commit) for run in runs}
        trained = [run.config for run in runs if "steps" in run.result]  # ensembles are made of others
        precisions = {config["training"]["precision"] for config in trained}
        origin = {
            "seconds": round(time.monotonic() - started, 1),
            "training_seconds": round(sum(run.result["seconds"] for run in runs), 1),
            "training_commits": sorted(commits),
            "training_precisions": sorted(precisions),
        }
        write_json(folder / "origin.json", environment() | origin)


def _number(value: float) -> str:
    return f"{value:.4g}"
