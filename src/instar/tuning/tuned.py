"""What a search over temperatures and weights found: a surface, a choice, and how sure it is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from instar.analysis import mean_interval, paired_interval
from instar.config import RunConfig, default_settings, flatten
from instar.objectives import exact
from instar.tuning.cells import Cell, Criterion


@dataclass(frozen=True)
class SettingDifference:
    """How much less the chosen setting scores than another one.

    Args:
        less: the mean over seeds.
        low: lower end of its 95% interval, paired by seed.
        high: upper end.
    """

    less: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves out 0; where all seeds differ alike, there is none."""
        return self.low < self.high and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Tuned:
    """The outcome of a search.

    Args:
        criterion: what was to be small on the validation samples.
        samples: how many of these there are.
        cells: of the grid, temperature by temperature.
        baseline: the cell of labels alone.
        command: trains a student with the chosen setting; empty where the data have no name.
        first_look: the teacher's error on a few samples beside that of chance.
    """

    criterion: Criterion
    samples: int
    cells: tuple[Cell, ...]
    baseline: Cell
    command: str = ""
    first_look: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def finalists(self) -> list[Cell]:
        """The cells that have all seeds, the best first."""
        finished = [cell for cell in self.cells if cell.dropped is None]
        return sorted(finished, key=lambda cell: cell.rank(self.criterion))

    @property
    def chosen(self) -> Cell:
        """The best cell."""
        return self.finalists[0]

    @property
    def objective(self) -> str:
        """That of the best cell."""
        return self.chosen.setting.objective

    @property
    def interval(self) -> tuple[float, float, float]:
        """The mean score of the best cell, with its 95% interval over seeds."""
        return mean_interval(self.chosen.scores(self.criterion))

    @property
    def others(self) -> dict[str, Cell]:
        """What the best cell is compared with: the second best, unless all others diverged, and the baseline."""
        second = {"the second best": self.finalists[1]} if len(self.finalists) > 1 else {}
        return second | {"labels alone": self.baseline}

    def against(self, other: Cell) -> SettingDifference:
        """Compare the best cell with another that has all seeds."""
        return SettingDifference(*paired_interval(self.chosen.scores(self.criterion), other.scores(self.criterion)))

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        mean, low, high = self.interval
        against = {name: (cell, self.against(cell)) for name, cell in self.others.items()}
        return {
            "criterion": self.criterion,
            "samples": self.samples,
            "cells": [cell.as_dict() for cell in self.cells],
            "baseline": self.baseline.as_dict(),
            "chosen": {**self.chosen.as_dict(), "mean": mean, "low": low, "high": high, "optimistic": True},
            "against": {
                name: {
                    "objective": cell.setting.objective,
                    **asdict(found),
                    "distinguishable": found.distinguishable,
                }
                for name, (cell, found) in against.items()
            },
            "command": self.command,
            "first_look": self.first_look,
        }

    def __str__(self) -> str:
        quantity = "error (%)" if self.criterion == "error" else "NLL (nats)"
        weights = list(dict.fromkeys(cell.setting.weight for cell in self.cells))
        lines = [
            f"Mean validation {quantity}; in brackets the seeds behind it, with * where dropped early",
            (" " * 12 + "".join(f"{f'w={exact(weight)}':>14} " for weight in weights)).rstrip(),
        ]
        for start in range(0, len(self.cells), len(weights)):
            row = self.cells[start : start + len(weights)]
            temperature = row[0].setting.name.partition("-")[0].replace("T", "T=")
            lines.append(f"{temperature:12}{''.join(map(self._shown, row))}".rstrip())
        lines.append(f"{'labels alone':12}{self._shown(self.baseline)}".rstrip())
        mean, low, high = map(self._figure, self.interval)
        seeds = f"95% over {len(self.chosen.seeds)} seeds: {low} to {high}"
        lines.append(f"Chosen: {self.objective}, validation {quantity} {mean} ({seeds}).")
        lines += [self._sentence(name, cell) for name, cell in self.others.items()]
        lines.append(
            f"The chosen figure is optimistic, because it is the best of {len(self.cells)} on the {self.samples} "
            "validation samples. No trial was judged on the test split; the student of this command will be:"
        )
        lines.append(self.command or f'instar.distill(..., objective="{self.objective}")')
        return "\n".join(lines)

    def _sentence(self, name: str, other: Cell) -> str:
        found = self.against(other)
        who = name if other is self.baseline else f"{name}, {other.setting.objective}"
        unit = "points" if self.criterion == "error" else "nats"
        if found.less == found.low == found.high == 0:
            return f"Against {who}: equal with every seed."
        start = f"Against {who}: {self._figure(abs(found.less))} {unit} {'more' if found.less < 0 else 'less'}"
        if found.low == found.high:
            return f"{start} with every seed alike, which gives no interval."
        low, high = (f"{'+' if bound > 0 else ''}{self._figure(bound)}" for bound in (found.low, found.high))
        settled = "distinguishable" if found.distinguishable else "not distinguishable by these seeds"
        return f"{start} (95%, paired by seed: {low} to {high}), {settled}."

    def _shown(self, cell: Cell) -> str:
        mean = "diverged" if cell.diverged else self._figure(fmean(cell.scores(self.criterion)))
        return f"{f'{mean} ({len(cell.seeds)})':>14}{' ' if cell.dropped is None else '*'}"

    def _figure(self, score: float) -> str:
        return f"{100 * score:.2f}" if self.criterion == "error" else f"{score:.4f}"


def as_command(config: RunConfig, objective: str, teachers: Sequence[str], out: Path, *, trust: bool) -> str:
    """Return the command that distils with the settings of a run; those that have their defaults are left out.

    >>> config = RunConfig(data={"source": "digits"}, model={"name": "mlp"}, training={"epochs": 5})
    >>> as_command(config, "SoftTargets(4)", ["runs/a"], Path("runs/b"), trust=False)
    "instar distill digits --teacher runs/a --model mlp --objective 'SoftTargets(4)' --epochs 5 --out runs/b"
    """
    words = ["instar", "distill", config.data.source]
    for teacher in teachers:
        words += ["--teacher", teacher]
    words += ["--model", config.model.name]
    for name, value in config.model.arguments.items():
        words += ["--arg", f"{name}={json.dumps(value)}"]
    words += ["--objective", objective]
    flags = {"combine": "--combine", "views": "--views", "training.epochs": "--epochs"}
    chosen_here = {"data.source", "objective", "teachers", "seed"}
    defaults = flatten(default_settings())
    for key, value in flatten(config.model_dump(mode="json")).items():
        if key in chosen_here or key.startswith("model.") or value == defaults.get(key):
            continue
        words += [flags[key], str(value)] if key in flags else ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join([*words, *(["--trust"] if trust else []), "--out", str(out)])
