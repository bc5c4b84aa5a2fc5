"""Commands that are killed at a random moment, and given again: the second ends well, with the right bits."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.harness import Ended, Outcome, cli, made, problem_of, scratch, start

COUNT = 200
SEEDED = 2

TINY = ("--model", "mlp", "--arg", "widths=[8]", "--epochs", "3", "--set", "training.checkpoint_seconds=0")


def words(verb: str, base: Path, out: Path) -> tuple[object, ...]:
    """Return the command of a verb that writes to `out`."""
    teacher = ("--teacher", base / "teacher")
    return {
        "train": ("train", "digits", *TINY, "--out", out),
        "distill": ("distill", "digits", *teacher, *TINY, "--out", out),
    }[verb]


@functools.cache
def prepared(folder: Path) -> Path:
    """Return a folder with a teacher."""
    made(*words("train", folder, folder / "teacher"))
    return folder


@functools.cache
def undisturbed(verb: str, folder: Path) -> tuple[Ended, Path]:
    """Return how a command ends that nobody kills, and what it wrote."""
    out = folder / f"undisturbed-{verb}"
    return made(*words(verb, prepared(folder), out)), out


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Kill a command, and give it again until it has ended."""
    for _ in range(count):
        verb = random.choice(("train", "distill"))
        ended, right = undisturbed(verb, folder)
        moment = random.uniform(0, 1.1 * ended.seconds)
        with scratch(folder) as here:
            out = here / "out"
            child = start(cli(*words(verb, folder, out)))
            time.sleep(moment)
            child.kill()
            child.wait()
            again = start(cli(*words(verb, folder, out))).wait()
            problem = problem_of(again) or (f"refused: {again.err}" if again.code else None)
            name = "weights.safetensors"
            if not problem and (out / name).read_bytes() != (right / name).read_bytes():
                problem = "other weights than those of an undisturbed run"
            yield Outcome("kills", f"{verb}, killed after {moment:.3f} s", problem)
