"""The same races as in `races`, but of commands as a user starts them, each with an interpreter of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.harness import Outcome, cold
from tests.chaos.races import race

COUNT = 10
SEEDED = 0


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Race commands that import everything first."""
    yield from race(random, count, folder, "cold-races", cold, 0.2, 600.0)
