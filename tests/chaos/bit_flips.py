"""One flipped bit in one file: what a verb then says is what it said before, or that the file is damaged."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.chaos.harness import Ended, Outcome, command, made, problem_of, scratch

import instar

COUNT = 1000
SEEDED = 4

TINY = ("--model", "mlp", "--arg", "widths=[4]", "--epochs", "1", "--set", "training.batch_size=512")
VERBS = {
    "teacher": ("evaluate", "inspect", "export", "compare", "report"),
    "student": ("evaluate", "inspect", "export", "compare", "report"),
    "both": ("evaluate", "inspect", "compare", "report"),
    "store": ("info", "verify"),
}
"""What is tried on what."""


@functools.cache
def prepared(folder: Path) -> Path:
    """Return a folder with a teacher, a student of it, an ensemble of both and a store of the teacher's answers."""
    base = folder / "whole"
    base.mkdir(exist_ok=True)
    made("train", "digits", *TINY, "--out", base / "teacher")
    made("distill", "digits", "--teacher", base / "teacher", *TINY, "--out", base / "student")
    instar.ensemble([base / "teacher", base / "student"], out=base / "both")
    made("label", "digits", "--teacher", base / "teacher", "--out", base / "store")
    return base


def words(verb: str, subject: Path) -> tuple[object, ...]:
    """Return the command of a verb on a run or a store, in the folder that all lie in."""
    if verb in ("info", "verify"):
        return "targets", verb, subject.name, *(("--json",) if verb == "info" else ())
    if verb == "export":
        return "export", subject.name, "--to", "safetensors", "--out", "exported.safetensors"
    if verb == "report":
        return "report", subject.name, "--out", "report.html"
    if verb == "compare":
        return "compare", subject.name, "teacher" if subject.name != "teacher" else "student", "--json"
    return verb, subject.name, "--json"


def told(verb: str, ended: Ended, here: Path) -> object:
    """Return what a command has found, without what differs from call to call."""
    if verb == "export":
        return (here / "exported.safetensors").read_bytes() if ended.code == 0 else None
    if verb == "report":
        return None
    return ended.out


@functools.cache
def undamaged(verb: str, name: str, folder: Path) -> object:
    """Return what a verb says of what is not damaged."""
    with scratch(folder) as here:
        shutil.copytree(prepared(folder), here, dirs_exist_ok=True)
        return told(verb, made(*words(verb, here / name), cwd=here), here)


def judge(verb: str, ended: Ended, here: Path, right: object) -> str | None:
    """Return why a verb on damaged files has not done what it should; none: it has."""
    if problem := problem_of(ended):
        return problem
    if ended.code == 2 or verb == "report":
        return None
    found = told(verb, ended, here)
    if verb == "inspect" and found != right:
        return None if json.loads(ended.out)["state"] == "damaged" else "other words, and no damage is told"
    return None if found == right else "another result without a word"


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Flip a bit of a file, and try a verb on what it belongs to."""
    for _ in range(count):
        name = random.choice(list(VERBS))
        verb = random.choice(VERBS[name])
        right = undamaged(verb, name, folder)
        with scratch(folder) as here:
            shutil.copytree(prepared(folder), here, dirs_exist_ok=True)
            files = sorted(path for path in (here / name).iterdir() if path.stat().st_size and path.name[0] != ".")
            file = random.choice(files)
            content = bytearray(file.read_bytes())
            bit = random.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
            file.write_bytes(content)
            ended = command(*words(verb, here / name), cwd=here)
            yield Outcome("bit-flips", f"bit {bit} of {name}/{file.name}, {verb}", judge(verb, ended, here, right))
