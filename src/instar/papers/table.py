"""A published table: the paper's numbers beside Instar's, and the origin of Instar's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Protocol, TypeVar

from instar.checks import Count, Natural, checked
from instar.compute.precision import Precision
from instar.jobs.backends import parse_jobs
from instar.jobs.running import run_all
from instar.jobs.task import Job
from instar.reporting.columns import EN_DASH
from instar.runs.environment import environment
from instar.runs.files import write_json, write_whole
from instar.stages.stage import Stage

RECIPE_PRECISION: Precision = "bfloat16"
"""Precision in recipes that allow any fast one; an `Order` may replace it."""
FAST_TRAINING: dict[str, Any] = {
    "precision": RECIPE_PRECISION,
    "teacher_precision": RECIPE_PRECISION,
    "checkpoint_seconds": 60.0,
}
"""Training settings of recipes that run for minutes or hours."""
STUDENT_SEED_OFFSET = 500
"""First seed number of students, above those of all teachers."""


class Named(Protocol):
    """A network, or a pair of networks, that rows are about."""

    @property
    def name(self) -> str:
        """Name in the paper."""


N = TypeVar("N", bound=Named)


@checked
@dataclass(frozen=True)
class Order:
    """The settings of one reproduction of a table.

    Args:
        scale: name of the scale in `SCALES` of the paper's module.
        data: path or name of the data.
        out: folder of the runs; every stage is a run folder in it.
        seeds: runs per row; None takes the number of the scale.
        jobs: number of runs at a time, or Ray; see `instar.jobs.outcomes`.
        report: called with the name of every finished stage.
        targets: source of the students' targets; None takes the paper's default.
        precision: precision that replaces the bfloat16 of the recipes.
        nets: names of the networks whose rows the table shows; an empty tuple takes all.
        encoder: folder or Hub id of the encoder that the table fine-tunes; None takes the paper's default.
        first_seed: number of the first seed; the others follow.
        trained: run folders of the table, in the order in which `train` was given their stages.
    """

    scale: str
    data: str
    out: Path
    seeds: Count | None
    jobs: int | str
    report: Callable[[str], None]
    targets: str | None = None
    precision: Precision = RECIPE_PRECISION
    nets: tuple[str, ...] = ()
    encoder: str | None = None
    first_seed: Natural = 0
    trained: list[Path] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        parse_jobs(self.jobs)  # refuses a wrong value before the first run

    def seed_numbers(self, usual: int) -> range:
        """Return the numbers of the seeds, of which a scale has `usual` unless the order says otherwise."""
        return range(self.first_seed, self.first_seed + (self.seeds or usual))

    def chosen(self, nets: Sequence[N]) -> tuple[N, ...]:
        """Return the networks of this order among `nets`."""
        return tuple(net for net in nets if not self.nets or net.name in self.nets)

    def train(self, stages: Iterable[Stage]) -> None:
        """Train the stages that are not complete, and report each; none may need another."""
        listed = [self._with_precision(stage) for stage in stages]
        names = [str(stage.out.relative_to(self.out)) for stage in listed]
        # a complete run is opened and not trained again, so a killed table is finished by the same command
        run_all([Job(stage.run, stage.out) for stage in listed], self.jobs, lambda index, _: self.report(names[index]))
        self.trained.extend(stage.out for stage in listed)

    def _with_precision(self, stage: Stage) -> Stage:
        training, names = stage.config.training, ("precision", "teacher_precision")
        # only bfloat16 is replaced: a recipe that names float32 needs it
        fast = {name: self.precision for name in names if getattr(training, name) == RECIPE_PRECISION}
        config = stage.config.model_copy(update={"training": training.model_copy(update=fast)})
        return replace(stage, config=config)


@dataclass(frozen=True)
class TableRow:
    """One quantity.

    Args:
        row: title of the row: what was trained.
        quantity: name of the quantity.
        unit: unit of all numbers in the row.
        published: the paper's number; None if it has none.
        seeds: Instar's numbers, one per seed; empty if there are none.
        settings: settings that distinguish the runs of this row.
        note: remark for the reader.
    """

    row: str
    quantity: str
    unit: str
    published: float | None
    seeds: Sequence[float]
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values, with mean and standard deviation over the seeds.

        >>> TableRow("a", "errors", "count", 74, [70, 72]).as_dict()["mean"]
        71
        """
        seeds = list(self.seeds)
        # `statistics`, because it is exact for whole numbers of errors, and a deviation needs two seeds
        spread = {"mean": mean(seeds) if seeds else None, "sd": stdev(seeds) if len(seeds) > 1 else None}
        return asdict(self) | {"seeds": seeds} | spread


@dataclass(frozen=True)
class Table:
    """Rows with a title.

    Args:
        title: heading of the table.
        rows: rows of the table.
        findings: paragraph on which of the paper's claims held; may be empty.
    """

    title: str
    rows: tuple[TableRow, ...]
    findings: str = ""

    def as_list(self) -> list[dict[str, Any]]:
        """Return the rows as JSON values."""
        return [row.as_dict() for row in self.rows]

    def as_markdown(self) -> str:
        """Return the table as Markdown.

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
            # a dash and not 0 for a number that is missing
            ours = EN_DASH if values["mean"] is None else _number(values["mean"])
            if values["sd"] is not None:
                ours += f" ± {values['sd']:.2g}"
            published = EN_DASH if values["published"] is None else _number(values["published"])
            quantity = f"{values['quantity']} ({values['unit']})"
            lines.append(
                f"| {values['row']} | {quantity} | {published} | {ours} | {len(values['seeds'])} | {values['note']} |"
            )
        if self.findings:
            lines += ["", self.findings]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, started: float, origin: Mapping[str, Any]) -> None:
        """Write table.json, table.md, and origin.json: command, commit, versions, machine, seconds, date.

        Args:
            folder: output folder.
            started: start of the last command, by `time.monotonic`, which took `seconds`.
            origin: what the runs of the table were made with, including those of earlier commands that were killed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "table.json", self.as_list())
        write_whole(folder / "table.md", lambda path: path.write_text(self.as_markdown()))
        seconds = round(time.monotonic() - started, 1)
        write_json(folder / "origin.json", environment() | {"seconds": seconds} | dict(origin))


def _number(value: float) -> str:
    return f"{value:.4g}"
