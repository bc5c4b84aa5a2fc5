"""The shared parts of all benchmarks: interleaved rounds, medians, and result files with their origin."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

from instar.runs.environment import environment
from instar.runs.files import write_json


@dataclass(frozen=True)
class Measured:
    """One row of results/benchmarks/<topic>.json.

    Args:
        case: what was measured, in words.
        value: Instar's value, the median over the rounds.
        unit: unit of `value` and `reference`.
        reference: the value of the reference; None: there is no reference.
        ratio: median of the ratios of the rounds, Instar over the reference; 1 or less is good.
        repeats: number of rounds.
        spread: smallest and largest ratio of a round; without a reference, smallest and largest value.
    """

    case: str
    value: float
    unit: str
    reference: float | None
    ratio: float | None
    repeats: int
    spread: tuple[float, float] | None


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds of `work`, up to the end of everything that it queues on an accelerator."""
    synchronise()  # work that was queued before does not count
    started = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - started


def synchronise() -> None:
    """Wait for the accelerator, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


TURNS_PER_ROUND = 3
"""Turns of each case and the reference in one round: the speed of a shared machine changes within seconds."""


def compare(
    ours: Mapping[str, Callable[[], float]], reference: Callable[[], float], rounds: int, turns: int = TURNS_PER_ROUND
) -> list[Measured]:
    """Measure several cases and one reference in turns, so that noise hits all of them.

    Args:
        ours: functions by the name of the case; each prepares the case, and returns the seconds of the measured part.
        reference: the same for the reference.
        rounds: number of rounds; a first turn of all is not counted.
        turns: turns per round; a ratio that must be near 1 needs more of them.
    """

    def in_turns(turns: int) -> list[float]:
        found = [[one() for one in (*ours.values(), reference)] for _ in range(turns)]
        return [sum(column) / turns for column in zip(*found, strict=True)]

    in_turns(1)  # loads code, fills caches and allocates memory
    *mine, theirs = zip(*(in_turns(turns) for _ in range(rounds)), strict=True)
    return [_measured(case, values, theirs) for case, values in zip(ours, mine, strict=True)]


def _measured(case: str, mine: Sequence[float], theirs: Sequence[float]) -> Measured:
    # a ratio per round, because both values of a round come from the same minute of the machine
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    spread = (min(ratios), max(ratios))
    return Measured(case, median(mine), "seconds", median(theirs), median(ratios), len(ratios), spread)


def in_megabytes(case: str, peaks: list[tuple[int, int]]) -> Measured:
    """Return the row of a memory measurement from pairs of bytes, Instar's and the reference's."""
    ratios = sorted(mine / theirs for mine, theirs in peaks)
    middle = len(peaks) // 2
    mine, theirs = (sorted(column)[middle] / 1e6 for column in zip(*peaks, strict=True))
    return Measured(case, mine, "MB", theirs, ratios[middle], len(peaks), (ratios[0], ratios[-1]))


class Topic:
    """The cases of one topic: printed one by one, and written at the end if there is an output folder.

    Args:
        name: name of the topic and its file.
        arguments: arguments of the command line, from `parser`.
    """

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name, self.arguments = name, arguments
        self.rounds: int = arguments.rounds
        self._rows: list[Measured] = []
        self._started = time.monotonic()

    def compare(
        self, case: str, ours: Callable[[], float], reference: Callable[[], float], turns: int = TURNS_PER_ROUND
    ) -> None:
        """Measure one case if `--only` leaves it in."""
        self.compare_all({case: ours}, reference, turns)

    def compare_all(
        self, ours: Mapping[str, Callable[[], float]], reference: Callable[[], float], turns: int = TURNS_PER_ROUND
    ) -> None:
        """Measure several cases with one reference, those that `--only` leaves in."""
        if wanted := {case: one for case, one in ours.items() if self.wanted(case)}:
            for row in compare(wanted, reference, self.rounds, turns):
                self.add(row)

    def wanted(self, case: str) -> bool:
        """Return whether `--only` leaves this case in."""
        return self.arguments.only in case

    def add(self, row: Measured) -> None:
        """Print a row as one line of JSON, and collect it."""
        print(json.dumps(asdict(row)), flush=True)  # at once, because a topic may take an hour
        self._rows.append(row)

    def write(self) -> None:
        """Write the rows and their origin, if there is an output folder."""
        folder: Path | None = self.arguments.out
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{self.name}.json", [asdict(row) for row in self._rows])
        origin = environment() | {"seconds": round(time.monotonic() - self._started, 1)}
        write_json(folder / f"{self.name}.origin.json", origin)


def parser(description: str | None, data: str | None = None) -> argparse.ArgumentParser:
    """Return the options of all benchmarks.

    Args:
        description: docstring of the module.
        data: default of `--data`; None: the benchmark reads no data.
    """
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--out", type=Path, help="folder that <topic>.json and <topic>.origin.json are written to")
    found.add_argument("--rounds", type=int, default=5, help="rounds that count")
    found.add_argument("--only", default="", help="measure only the cases whose name contains this")
    if data is not None:
        found.add_argument("--data", default=data, help="folder of the data, in the Hub layout")
        found.add_argument("--samples", type=int, help="use fewer samples, for a quick look")
    return found
