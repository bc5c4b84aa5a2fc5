"""The grid of a search: objectives, and the scores of their trials."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from instar.errors import ConfigError
from instar.objectives.notation import distillation, exact

Criterion = Literal["error", "nll"]


@dataclass(frozen=True)
class Setting:
    """A point of the grid: the objective SoftTargets(T) + w HardLabels(), where SoftTargets includes the factor T^2.

    Args:
        temperature: temperature T; None for labels alone, the baseline.
        weight: weight w of the labels.

    >>> Setting(4.0, 0.1).objective, Setting(4.0, 0.0).objective, BASELINE.objective
    ('SoftTargets(4) + 0.1 * HardLabels()', 'SoftTargets(4)', 'HardLabels()')
    """

    temperature: float | None
    weight: float

    @property
    def objective(self) -> str:
        """The objective in the notation of the configuration."""
        if self.temperature is None:
            return "HardLabels()"
        return distillation(self.temperature, self.weight)

    @property
    def name(self) -> str:
        """Beginning of the names of its trials' folders."""
        return "labels" if self.temperature is None else f"T{exact(self.temperature)}-w{exact(self.weight)}"


BASELINE = Setting(None, 1.0)
"""The baseline: labels alone."""


@dataclass(frozen=True)
class Grid:
    """The settings that a search compares.

    Args:
        temperatures: temperatures T.
        weights: label weights w.
        seeds: seeds of the candidates that reach the last rung.
        criterion: validation score to minimise.

    Raises:
        ConfigError: if there is nothing to choose from, or a number is out of range.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    seeds: int
    criterion: Criterion

    def __post_init__(self) -> None:
        for name, values, least in (
            ("temperatures", self.temperatures, math.ulp(0.0)),  # the least number above 0
            ("weights", self.weights, 0.0),
        ):
            # equal numbers would be two candidates with the same run folders
            if not values or len(set(values)) < len(values) or not all(least <= one < math.inf for one in values):
                bound = "above 0" if least else "of at least 0"
                got = ", ".join(map(exact, values)) or "none"
                raise ConfigError(f"{name} must be different numbers {bound}, got {got}.")
        if len(self.temperatures) * len(self.weights) < 2:
            raise ConfigError("one temperature with one weight leaves nothing to choose; give more of either.")
        if self.seeds < 2:
            raise ConfigError(f"seeds must be at least 2, because one seed has no interval, got {self.seeds}.")

    @property
    def settings(self) -> list[Setting]:
        """The candidates, temperature by temperature."""
        return [Setting(temperature, weight) for temperature in self.temperatures for weight in self.weights]


@dataclass(frozen=True)
class Cell:
    """A setting with the validation scores of its trials, one entry per trial.

    Args:
        setting: setting of the objective.
        runs: run folders of the trials.
        seeds: seeds of the trials.
        error: validation errors; None for a trial that diverged.
        nll: validation NLL in nats; None for a trial that diverged.
        dropped: number of the rung after which the search dropped it; None if it has all seeds.
    """

    setting: Setting
    runs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    error: tuple[float | None, ...] = ()
    nll: tuple[float | None, ...] = ()
    dropped: int | None = None

    def with_trial(self, run: Path, seed: int, score: dict[str, float] | None) -> Cell:
        """Return the cell with one more trial; `score` is None if the trial diverged."""
        error, nll = (score["error"], score["nll"]) if score else (None, None)
        return replace(
            self,
            runs=(*self.runs, str(run)),
            seeds=(*self.seeds, seed),
            error=(*self.error, error),
            nll=(*self.nll, nll),
        )

    @property
    def diverged(self) -> bool:
        """Whether a trial diverged."""
        return None in self.error

    def scores(self, criterion: Criterion) -> list[float]:
        """Return the scores of the trials that did not diverge."""
        return [score for score in (self.error if criterion == "error" else self.nll) if score is not None]

    def rank(self, criterion: Criterion) -> tuple[float, float]:
        """Return the sort key of the cell: mean score, then mean NLL; infinite if a trial diverged."""
        # the mean leaves diverged trials out, so a setting that only sometimes works would look good
        if self.diverged:
            return float("inf"), float("inf")
        # few validation samples often give equal errors, so the NLL breaks ties
        return fmean(self.scores(criterion)), fmean(self.scores("nll"))

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        values = asdict(self)
        return {"objective": self.setting.objective, **values.pop("setting"), **values}
