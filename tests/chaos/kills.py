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

TINY = ("--model", "mlp", "--arg", "widths=[8]", "--epochs", "2", "--set", "training.checkpoint_seconds=0")
GRID = ("--temperatures", "1,4", "--weights", "0", "--seeds", "2")
VERBS = {
    "train": ("train", "digits", *TINY, "--out", "OUT"),
    "distill": ("distill", "digits", "--teacher", "BASE/teacher", *TINY, "--targets", "store", "--out", "OUT"),
    "label": ("label", "digits", "--teacher", "BASE/teacher", "--out", "OUT"),
    "born-again": ("born-again", "digits", *TINY, "--generations", "1", "--out", "OUT"),
    "tune": ("tune", "digits", "--teacher", "BASE/teacher", *TINY, *GRID, "--out", "OUT"),
    "specialists train": ("specialists", "train", "BASE/teacher", "--clusters", "2", "--epochs", "1", "--out", "OUT"),
    "specialists combine": ("specialists", "combine", "BASE/teacher", "BASE/specialists", "--out", "OUT"),
    "export": ("export", "BASE/teacher", "--to", "safetensors", "--out", "OUT/model.safetensors"),
    "export to a folder": ("export", "BASE/teacher", "--to", "hub", "--out", "OUT/model"),
    "report": ("report", "BASE/teacher", "--out", "OUT/report.html"),
    "correct-bias": ("correct-bias", "BASE/teacher", "--class", "3", "--out", "OUT"),
    "targets merge": ("targets", "merge", "BASE/targets", "--out", "OUT"),
}


def words(verb: str, base: Path, out: Path) -> list[str]:
    """Return the command of a verb that writes to `out`."""
    return [word.replace("BASE", str(base)).replace("OUT", str(out)) for word in VERBS[verb]]


@functools.cache
def prepared(folder: Path) -> Path:
    """Return a folder with what the verbs take."""
    made(*words("train", folder, folder / "teacher"))
    return folder


@functools.cache
def undisturbed(verb: str, folder: Path) -> tuple[Ended, Path]:
    """Return how a command ends that nobody kills, and what it wrote."""
    needed = {"specialists combine": ("specialists train", "specialists"), "targets merge": ("label", "targets")}
    if verb in needed:
        first, name = needed[verb]
        made(*words(first, prepared(folder), folder / name))
    out = folder / f"undisturbed {verb}"
    return made(*words(verb, prepared(folder), out)), out


def told(folder: Path) -> dict[str, bytes]:
    """Return all that was computed in a folder, byte by byte, and the names of the other files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            is_computed = path.suffix == ".safetensors" and not path.name.startswith("examples")
            found[str(path.relative_to(folder))] = path.read_bytes() if is_computed else b""
    return found


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Kill a command, once or twice, and give it again."""
    for _ in range(count):
        verb = random.choice(list(VERBS))
        ended, right = undisturbed(verb, folder)
        moments = [random.uniform(0, 1.1 * ended.seconds) for _ in range(random.choice((1, 1, 2)))]
        with scratch(folder) as here:
            out = here / "out"
            for moment in moments:
                child = start(cli(*words(verb, folder, out)))
                time.sleep(moment)
                child.kill()
                child.wait()
            again = start(cli(*words(verb, folder, out))).wait()
            problem = problem_of(again) or (f"refused: {again.err}" if again.code else None)
            mine, theirs = told(out), told(right)
            different = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
            if not problem and different:
                problem = f"other files, or other bytes in them, than of an undisturbed command: {different[:5]}"
            yield Outcome("kills", f"{verb}, killed after {', '.join(f'{each:.3f}' for each in moments)} s", problem)
