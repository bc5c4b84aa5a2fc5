"""The grid of a search: objectives, and the scores of their trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from instar.errors import ConfigError
from instar.objectives.notation import distillation, exact

Criterion = Literal["error", "nll", "rmse", "mae"]


@dataclass(frozen=True)
class Score:
    """A validation score that a search minimises.

    Args:
        label: what it is, with its unit.
        unit: unit of a difference; empty: that of the labels.
        ties: score that decides between equal ones.
        form: how a score is written.
        factor: what it is multiplied by.

    >>> SCORES["error"].write(0.0525), SCORES["rmse"].write(1234.567)
    ('5.25', '1234.6')
    """

    label: str
    unit: str
    ties: Criterion
    form: str
    factor: float = 1.0

    def write(self, score: float) -> str:
        """Return a score, or a difference of scores, in its unit."""
        return format(self.factor * score, self.form)


SCORES: dict[Criterion, Score] = {
    # few validation samples often give equal errors, so the NLL breaks ties
    "error": Score("error (%)", "points", "nll", ".2f", 100),
    "nll": Score("NLL (nats)", "nats", "nll", ".4f"),
    "rmse": Score("RMSE", "", "mae", ".5g"),
    "mae": Score("MAE", "", "rmse", ".5g"),
}
OF_CLASSES: tuple[Criterion, ...] = ("error", "nll")
OF_NUMBERS: tuple[Criterion, ...] = ("rmse", "mae")
"""Scores of each kind of labels, the usual one first."""

TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
"""Temperatures of a search that names none."""


@dataclass(frozen=True)
class Setting:
    """A point of the grid: SoftTargets(T) + w HardLabels(), where SoftTargets includes the factor T^2.

    Where labels are numbers, it is SquaredError('teacher') + w SquaredError().

    Args:
        temperature: temperature T; None for numbers, and for labels alone.
        weight: weight w of the labels; None for labels alone, the baseline.
        are_numbers: whether labels are numbers.

    >>> Setting(4.0, 0.1).objective, Setting(4.0, 0.0).objective, Setting(None, None).objective
    ('SoftTargets(4) + 0.1 * HardLabels()', 'SoftTargets(4)', 'HardLabels()')
    >>> Setting(None, 0.1, are_numbers=True).objective
    "SquaredError('teacher') + 0.1 * SquaredError()"
    """

    temperature: float | None
    weight: float | None
    are_numbers: bool = False

    @property
    def objective(self) -> str:
        """The objective in the notation of the configuration."""
        labels = "SquaredError()" if self.are_numbers else "HardLabels()"
        if self.weight is None:
            return labels
        if self.temperature is not None:
            return distillation(self.temperature, self.weight)
        return "SquaredError('teacher')" + (f" + {exact(self.weight)} * {labels}" if self.weight else "")

    @property
    def row(self) -> str:
        """Name of its row in a table."""
        if self.weight is None:
            return "labels alone"
        return "teacher" if self.temperature is None else f"T={exact(self.temperature)}"

    @property
    def name(self) -> str:
        """Beginning of the names of its trials' folders."""
        if self.weight is None:
            return "labels"
        temperature = "" if self.temperature is None else f"T{exact(self.temperature)}-"
        return f"{temperature}w{exact(self.weight)}"

    @property
    def scores(self) -> tuple[Criterion, ...]:
        """The scores of its trials."""
        return OF_NUMBERS if self.are_numbers else OF_CLASSES


@dataclass(frozen=True)
class Grid:
    """The settings that a search compares.

    Args:
        temperatures: temperatures T; none for numbers.
        weights: label weights w.
        seeds: seeds of the candidates that reach the last rung.
        criterion: validation score to minimise.
        are_numbers: whether labels are numbers.

    Raises:
        ConfigError: if there is nothing to choose from, or a number is out of range.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    seeds: int
    criterion: Criterion
    are_numbers: bool = False

    @classmethod
    def of(
        cls,
        temperatures: Sequence[float] | None,
        weights: Sequence[float],
        seeds: int,
        criterion: Criterion | None,
        *,
        are_numbers: bool,
    ) -> Grid:
        """Return the grid of a caller; None: what is usual for labels of this kind.

        Raises:
            ConfigError: when a setting does not fit the labels, and see the class.
        """
        known = OF_NUMBERS if are_numbers else OF_CLASSES
        kind = "numbers" if are_numbers else "classes"
        if criterion is not None and criterion not in known:
            raise ConfigError(f"the labels are {kind}, so criterion must be {' or '.join(known)}, got {criterion}.")
        if are_numbers and temperatures is not None:
            raise ConfigError("numbers have no temperature; leave out temperatures, and choose the weights of labels.")
        chosen = () if are_numbers else TEMPERATURES if temperatures is None else tuple(map(float, temperatures))
        return cls(chosen, tuple(map(float, weights)), seeds, criterion or known[0], are_numbers)

    def __post_init__(self) -> None:
        temperatures = ("temperatures", self.temperatures, math.ulp(0.0))  # the least number above 0
        for name, values, least in (() if self.are_numbers else (temperatures,)) + (("weights", self.weights, 0.0),):
            # equal numbers would be two candidates with the same run folders
            if not values or len(set(values)) < len(values) or not all(least <= one < math.inf for one in values):
                bound = "above 0" if least else "of at least 0"
                got = ", ".join(map(exact, values)) or "none"
                raise ConfigError(f"{name} must be different numbers {bound}, got {got}.")
        if len(self.settings) < 2:
            one = "one weight" if self.are_numbers else "one temperature with one weight"
            raise ConfigError(f"{one} leaves nothing to choose; give more{'' if self.are_numbers else ' of either'}.")
        if self.seeds < 2:
            raise ConfigError(f"seeds must be at least 2, because one seed has no interval, got {self.seeds}.")

    @property
    def settings(self) -> list[Setting]:
        """The candidates, temperature by temperature."""
        temperatures = self.temperatures or (None,)
        return [Setting(one, weight, self.are_numbers) for one in temperatures for weight in self.weights]

    @property
    def baseline(self) -> Setting:
        """Labels alone."""
        return Setting(None, None, self.are_numbers)


@dataclass(frozen=True)
class Cell:
    """A setting with the validation scores of its trials, one entry per trial.

    Args:
        setting: setting of the objective.
        runs: run folders of the trials.
        seeds: seeds of the trials.
        found: validation scores of the trials by name; None for a trial that diverged.
        dropped: number of the rung after which the search dropped it; None if it has all seeds.
    """

    setting: Setting
    runs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    found: Mapping[Criterion, tuple[float | None, ...]] = field(default_factory=dict)
    dropped: int | None = None

    def with_trial(self, run: Path, seed: int, scores: Mapping[str, float] | None) -> Cell:
        """Return the cell with one more trial; `scores` is None if the trial diverged."""
        found = {name: (*self.found.get(name, ()), scores[name] if scores else None) for name in self.setting.scores}
        return replace(self, runs=(*self.runs, str(run)), seeds=(*self.seeds, seed), found=found)

    @property
    def diverged(self) -> bool:
        """Whether a trial diverged."""
        return any(None in scores for scores in self.found.values())

    def scores(self, criterion: Criterion) -> list[float]:
        """Return the scores of the trials that did not diverge."""
        return [score for score in self.found[criterion] if score is not None]

    def rank(self, criterion: Criterion) -> tuple[float, float]:
        """Return the sort key of the cell: mean score, then that which breaks ties; infinite if a trial diverged."""
        # the mean leaves diverged trials out, so a setting that only sometimes works would look good
        if self.diverged:
            return float("inf"), float("inf")
        return fmean(self.scores(criterion)), fmean(self.scores(SCORES[criterion].ties))

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        setting = self.setting
        return {
            "objective": setting.objective,
            "temperature": setting.temperature,
            "weight": setting.weight,
            "runs": self.runs,
            "seeds": self.seeds,
            **{str(name): scores for name, scores in self.found.items()},
            "dropped": self.dropped,
        }
