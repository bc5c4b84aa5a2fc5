"""What all benchmarks share: interleaved rounds, medians, and files that say where their numbers came from."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch

from instar.run import environment, write_json


@dataclass(frozen=True)
class Measured:
    """One row of results/benchmarks/<topic>.json.

    Args:
        case: what was measured, in words.
        value: ours, the median over the rounds.
        unit: of `value` and `reference`.
        reference: the same of the reference, or none.
        ratio: the median of the rounds' ratios, ours over the reference; 1 or less is good.
        repeats: the number of rounds.
        spread: the smallest and the largest ratio of a round.
    """

    case: str
    value: float
    unit: str
    reference: float | None
    ratio: float | None
    repeats: int
    spread: tuple[float, float] | None


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes, to the end of what it has queued on an accelerator."""
    synchronise()
    started = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - started


def synchronise() -> None:
    """Wait for the accelerator, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


TURNS = 3
"""How often ours and the reference take turns in one round: the speed of a shared machine changes within seconds."""


def compare(
    case: str, ours: Callable[[], float], reference: Callable[[], float], rounds: int, turns: int = TURNS
) -> Measured:
    """Measure ours and the reference in turn, so that noise hits both.

    Args:
        case: what is measured.
        ours: makes ready, and returns the seconds of the part that counts.
        reference: the same for the reference.
        rounds: how many times; a first turn of both is not counted.
        turns: in a round; the nearer a ratio must be to 1, the more.
    """

    def in_turns(turns: int) -> tuple[float, float]:
        mine, theirs = zip(*((ours(), reference()) for _ in range(turns)), strict=True)
        return sum(mine) / turns, sum(theirs) / turns

    in_turns(1)
    pairs = [in_turns(turns) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    spread = (min(ratios), max(ratios))
    mine, theirs = (median(column) for column in zip(*pairs, strict=True))
    return Measured(case, mine, "seconds", theirs, median(ratios), rounds, spread)


class Topic:
    """The cases of one topic: printed as they come, and written in the end where a folder was given.

    Args:
        name: of the topic and its file.
        arguments: of the command line, from `parser`.
    """

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name, self.arguments = name, arguments
        self.rounds: int = arguments.rounds
        self._rows: list[Measured] = []
        self._started = time.monotonic()

    def compare(self, case: str, ours: Callable[[], float], reference: Callable[[], float], turns: int = TURNS) -> None:
        """Measure one case, where it was asked for."""
        if self.wanted(case):
            self.add(compare(case, ours, reference, self.rounds, turns))

    def wanted(self, case: str) -> bool:
        """Return whether `--only` leaves this case in."""
        return self.arguments.only in case

    def add(self, row: Measured) -> None:
        """Print a row as one line of JSON, and keep it."""
        print(json.dumps(asdict(row)), flush=True)
        self._rows.append(row)

    def write(self) -> None:
        """Write the rows, and where they came from."""
        folder: Path | None = self.arguments.out
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{self.name}.json", [asdict(row) for row in self._rows])
        origin = environment() | {"seconds": round(time.monotonic() - self._started, 1)}
        write_json(folder / f"{self.name}.origin.json", origin)


def parser(description: str | None, data: str | None = None) -> argparse.ArgumentParser:
    """Return the options that all benchmarks have.

    Args:
        description: the module's docstring.
        data: the folder that `--data` stands for when it is not given; none: the benchmark reads no data.
    """
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--out", type=Path, help="folder that <topic>.json and <topic>.origin.json are written to")
    found.add_argument("--rounds", type=int, default=5, help="rounds that count")
    found.add_argument("--only", default="", help="measure only the cases whose name contains this")
    if data is not None:
        found.add_argument("--data", default=data, help="folder of the data, in the Hub layout")
        found.add_argument("--samples", type=int, help="use fewer samples, for a quick look")
    return found
