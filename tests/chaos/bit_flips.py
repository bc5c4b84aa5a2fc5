"""One flipped bit in one file: what a verb then says is what it said before, or that the file is damaged."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from tests.chaos.harness import Ended, Outcome, cli, command, made, problem_of, scratch, start

import instar
from instar.errors import InstarError, say

COUNT = 1000
SEEDED = 4

TINY = ("--model", "mlp", "--arg", "widths=[4]", "--epochs", "1", "--set", "training.batch_size=512")
PAUSED = ("train", "digits", *TINY, "--set", "training.checkpoint_seconds=0", "--out")
OF_RUNS = ("evaluate", "inspect", "compare", "report", "distill")
VERBS = {
    "teacher": (*OF_RUNS, "export"),
    "student": (*OF_RUNS, "export"),
    "both": OF_RUNS,
    "store": ("info", "verify", "distill"),
    "paused": ("resume", "resume", "inspect"),
    "exported.safetensors": ("load",),
    "hub": ("load",),
    "cache": ("decode",),
}
"""What is tried on what."""


@functools.cache
def prepared(folder: Path) -> Path:
    """Return a folder with a teacher, a student of it, an ensemble of both and more of what verbs read."""
    base = folder / "whole"
    base.mkdir(exist_ok=True)
    made("train", "digits", *TINY, "--out", "teacher", cwd=base)
    made("distill", "digits", "--teacher", "teacher", *TINY, "--out", "student", cwd=base)
    instar.ensemble([base / "teacher", base / "student"], out=base / "both")
    made("label", "digits", "--teacher", "teacher", "--out", "store", cwd=base)
    made("export", "teacher", "--to", "safetensors", "--out", "exported.safetensors", cwd=base)
    made("export", "teacher", "--to", "hub", "--out", "hub", cwd=base)
    pause(base / "paused")
    return base


@functools.cache
def decoded(folder: Path) -> Path:
    """Return a folder of images, which are not copied, with a cache beside it in which they are decoded."""
    from PIL import Image

    data = folder / "images" / "data"
    for number in range(16):
        path = data / ("train", "test")[number % 2] / "ab"[number // 8] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 6), 15 * number).save(path)
    with scratch(folder) as here:
        made(*words("decode", here / "cache", data), cwd=here, environment=kept(data.with_name("cache")))
    return data


def kept(cache: Path) -> dict[str, str]:
    """Return the environment in which decoded data are kept there."""
    return {"INSTAR_CACHE": str(cache)}


def pause(out: Path) -> None:
    """Train until the second checkpoint is written, and stop there as a killed process does."""

    def work() -> None:
        fit: Any = importlib.import_module("instar.training.loop")
        save, saved = fit.save_checkpoint, []

        def save_and_stop(*given: Any) -> None:
            save(*given)
            saved.append(1)
            if len(saved) == 2:
                os._exit(0)

        fit.save_checkpoint = save_and_stop
        cli(*PAUSED, out)()

    ended = start(work).wait()
    if ended.code or not (out / "checkpoint.safetensors").is_file():
        raise RuntimeError(f"no run was left half done: {ended.err[-2000:]}")


def words(verb: str, subject: Path, data: Path | None = None) -> tuple[object, ...]:
    """Return the command of a verb on a run or a store, in the folder that all lie in."""
    other = "teacher" if subject.name != "teacher" else "student"
    return {
        "info": ("targets", "info", subject.name, "--json"),
        "verify": ("targets", "verify", subject.name),
        "export": ("export", subject.name, "--to", "safetensors", "--out", "out.safetensors"),
        "report": ("report", subject.name, "--out", "report.html"),
        "compare": ("compare", subject.name, other, "--json"),
        "distill": ("distill", "digits", *TINY, "--teacher", subject.name, "--out", "out"),
        "resume": (*PAUSED, "paused"),
        "decode": ("train", data, *TINY, "--set", "data.validation=0.25", "--out", "out"),
    }.get(verb, (verb, subject.name, "--json"))


def tried(verb: str, subject: Path, folder: Path) -> Ended:
    """Return how a verb ends."""
    here = subject.parent
    if verb == "load":
        return start(functools.partial(_load, subject), cwd=here).wait()
    if verb == "decode":
        return command(*words(verb, subject, decoded(folder)), cwd=here, environment=kept(subject))
    return command(*words(verb, subject), cwd=here)


def _load(path: Path) -> None:
    try:
        print(instar.load(path)(torch.arange(128.0).reshape(2, 1, 8, 8) % 16).tolist())
    except InstarError as error:
        say(f"instar: {error}")
        raise SystemExit(2) from None


def told(verb: str, ended: Ended, here: Path) -> object:
    """Return what a command has found, without what differs from call to call."""
    written = {
        "export": "out.safetensors",
        "distill": "out/weights.safetensors",
        "decode": "out/weights.safetensors",
        "resume": "paused/weights.safetensors",
    }
    if verb in written:
        return (here / written[verb]).read_bytes() if ended.code == 0 else None
    return None if verb == "report" else ended.out


@functools.cache
def undamaged(verb: str, name: str, folder: Path) -> object:
    """Return what a verb says of what is not damaged."""
    with scratch(folder) as here:
        copied(name, folder, here)
        ended = tried(verb, here / name, folder)
        if ended.code:
            raise RuntimeError(f"{verb} of what is whole: {ended.err[-2000:]}")
        return told(verb, ended, here)


def copied(name: str, folder: Path, here: Path) -> None:
    """Copy what a trial may change."""
    if name == "cache":
        shutil.copytree(decoded(folder).with_name("cache"), here / "cache")
    else:
        shutil.copytree(prepared(folder), here, dirs_exist_ok=True)


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
            copied(name, folder, here)
            subject = here / name
            whole = sorted(path for path in (subject, *subject.rglob("*")) if path.is_file() and path.name[0] != ".")
            file = random.choice([path for path in whole if path.stat().st_size])
            content = bytearray(file.read_bytes())
            bit = random.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
            file.write_bytes(content)
            problem = judge(verb, tried(verb, subject, folder), here, right)
            if verb == "decode" and not problem and not (here / "out" / "result.json").is_file():
                problem = "a damaged copy of the data was not decoded anew"
            yield Outcome("bit-flips", f"bit {bit} of {file.relative_to(here)}, {verb}", problem)
