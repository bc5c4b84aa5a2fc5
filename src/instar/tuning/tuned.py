"""The result of a search over temperatures and weights: scores, the choice, and its uncertainty."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from instar.analysis.significance import mean_interval, paired_interval
from instar.config import RunConfig, default_settings
from instar.nested import flatten
from instar.objectives.notation import exact
from instar.tuning.cells import SCORES, Cell, Criterion, Score


@dataclass(frozen=True)
class SettingDifference:
    """The difference between the scores of another setting and of the chosen one.

    Args:
        less: mean difference over seeds, above 0 if the chosen setting scores less.
        low: lower end of the 95% interval, paired by seed.
        high: upper end of the 95% interval.
    """

    less: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0; without a spread over seeds there is no interval."""
        return self.low < self.high and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Args:
        criterion: score that was minimised on the validation samples.
        samples: number of validation samples.
        cells: cells of the grid, temperature by temperature.
        baseline: cell of labels alone.
        command: command that trains a student with the chosen setting; empty if the data are arrays.
        first_look: the teacher's error on a few samples beside the error of chance.
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
        # a dropped cell has fewer seeds: its mean may be better by luck, and nothing pairs with it
        finished = [cell for cell in self.cells if cell.dropped is None]
        return sorted(finished, key=lambda cell: cell.rank(self.criterion))

    @property
    def chosen(self) -> Cell:
        """The best cell."""
        return self.finalists[0]

    @property
    def objective(self) -> str:
        """The objective of the best cell."""
        return self.chosen.setting.objective

    @property
    def interval(self) -> tuple[float, float, float]:
        """The mean score of the best cell, with its 95% interval over seeds."""
        return mean_interval(self.chosen.scores(self.criterion))

    @property
    def others(self) -> dict[str, Cell]:
        """Cells to compare the best one with: the second best, unless all others diverged, and the baseline."""
        # the second best tells whether the choice is settled, and the baseline whether distillation helps at all
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
            # the interval does not know that the choice is the best of many on the same validation samples
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
        quantity, write = self._score.label, self._score.write
        weights = list(dict.fromkeys(cell.setting.weight or 0.0 for cell in self.cells))
        lines = [
            f"Mean validation {quantity}; in brackets the number of seeds, * dropped early",
            (" " * 12 + "".join(f"{f'w={exact(weight)}':>14} " for weight in weights)).rstrip(),
        ]
        # cells come temperature by temperature, so one row has as many as there are weights
        for start in range(0, len(self.cells), len(weights)):
            row = self.cells[start : start + len(weights)]
            lines.append(f"{row[0].setting.row:12}{''.join(map(self._format_cell, row))}".rstrip())
        lines.append(f"{self.baseline.setting.row:12}{self._format_cell(self.baseline)}".rstrip())
        mean, low, high = map(write, self.interval)
        seeds = f"95% over {len(self.chosen.seeds)} seeds: {low} to {high}"
        lines.append(f"Chosen: {self.objective}, validation {quantity} {mean} ({seeds}).")
        lines += [self._compare_with(name, cell) for name, cell in self.others.items()]
        lines.append(
            f"This score is optimistic, because it is the best of {len(self.cells)} on the {self.samples} validation "
            "samples. No trial was evaluated on the test split. This command trains and tests a student:"
        )
        # arrays have no name that a command could hold
        lines.append(self.command or f'instar.distill(..., objective="{self.objective}")')
        return "\n".join(lines)

    def _compare_with(self, name: str, other: Cell) -> str:
        found = self.against(other)
        who = name if other is self.baseline else f"{name}, {other.setting.objective}"
        write, unit = self._score.write, self._score.unit
        # without a spread over seeds, Student's interval has no width and says nothing about other seeds
        if found.less == found.low == found.high == 0:
            return f"Against {who}: equal for every seed."
        amount = f"{write(abs(found.less))} {unit}".strip()
        start = f"Against {who}: {amount} {'more' if found.less < 0 else 'less'}"
        if found.low == found.high:
            return f"{start} for every seed, so there is no interval."
        low, high = (f"{'+' if bound > 0 else ''}{write(bound)}" for bound in (found.low, found.high))
        settled = "significant" if found.distinguishable else "not significant with these seeds"
        return f"{start} (95%, paired by seed: {low} to {high}), {settled}."

    def _format_cell(self, cell: Cell) -> str:
        mean = "diverged" if cell.diverged else self._score.write(fmean(cell.scores(self.criterion)))
        return f"{f'{mean} ({len(cell.seeds)})':>14}{' ' if cell.dropped is None else '*'}"

    @property
    def _score(self) -> Score:
        return SCORES[self.criterion]


def as_command(config: RunConfig, objective: str, teachers: Sequence[str], out: Path, *, trust: bool) -> str:
    """Return the command that distils with the settings of a run, without those that have their defaults.

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
    # flags of their own above; without --seed the student takes the default
    chosen_here = {"data.source", "objective", "teachers", "seed"}
    defaults = flatten(default_settings())
    for key, value in flatten(config.model_dump(mode="json")).items():
        if key in chosen_here or key.startswith("model.") or value == defaults.get(key):
            continue
        # --set reads YAML, and JSON is YAML
        words += [flags[key], str(value)] if key in flags else ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join([*words, *(["--trust"] if trust else []), "--out", str(out)])
