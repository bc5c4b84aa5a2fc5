"""Two commands with one folder at the same time: what is there in the end is all of one of them, and both know it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.chaos.harness import SECONDS, Ended, Outcome, cli, made, problem_of, scratch, start

COUNT = 500
SEEDED = 6

TINY = ("--model", "mlp", "--arg", "widths=[8]", "--set", "training.log_every=5")
COMMANDS = ("train a", "train b", "distill a", "distill b", "correct-bias a", "correct-bias b", "label a", "label b")
"""What is raced, in folders of one kind; "a" and "b" differ in one setting."""


def words(command: str, base: Path, out: Path) -> tuple[object, ...]:
    """Return a command that writes to `out`."""
    verb, _, variant = command.partition(" ")
    teacher = ("--teacher", base / "teacher")
    number = {"a": 1, "b": 2}[variant]
    return {
        "train": ("train", "digits", *TINY, "--epochs", number, "--out", out),
        "distill": ("distill", "digits", *teacher, *TINY, "--epochs", 1, "--seed", number, "--out", out),
        "correct-bias": ("correct-bias", base / "teacher", "--class", number, "--out", out),
        "label": ("label", "digits", *teacher, "--keep", f"top:{number}", "--set", "data.subset=500", "--out", out),
    }[verb]


@functools.cache
def prepared(folder: Path) -> Path:
    """Return a folder with a teacher."""
    made(*words("train a", folder, folder / "teacher"))
    return folder


@functools.cache
def undisturbed(command: str, folder: Path) -> dict[str, bytes]:
    """Return what a command writes when it is alone."""
    out = folder / f"undisturbed {command}"
    made(*words(command, prepared(folder), out))
    return told(out)


def told(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by which its runs are known: what was asked for, and what came of it."""
    names = ("config.json", "manifest.json", "weights.safetensors", "predictions.safetensors", "train.ids.safetensors")
    found = {path.name: path for path in folder.iterdir() if path.name in names or path.name.startswith("train-")}
    return {name: path.read_bytes() for name, path in found.items()}


def race(
    random: Random,
    count: int,
    folder: Path,
    kind: str,
    begin: Callable[..., Callable[[], None]],
    latest: float,
    seconds: float,
) -> Iterator[Outcome]:
    """Start two commands with one folder, `latest` seconds apart at most, and look at what has become of it."""
    prepared(folder)
    for _ in range(count):
        first, second = random.choices(COMMANDS, k=2)
        if "label" in first + second:  # a run and a store never share a folder, and either is refused for the other
            second = random.choice(("label a", "label b"))
        pause = random.uniform(0, latest)
        with scratch(folder) as here:
            one = start(begin(*words(first, folder, here / "out")))
            time.sleep(pause)
            two = start(begin(*words(second, folder, here / "out")))
            ends = {f"1: {first}": one.wait(seconds), f"2: {second}": two.wait(seconds)}
            yield Outcome(kind, f"{first}, after {pause:.4f} s {second}", judge(ends, folder, here / "out"))


def judge(ends: dict[str, Ended], folder: Path, out: Path) -> str | None:
    """Return what is wrong after a race."""
    for name, ended in ends.items():
        if problem := problem_of(ended):
            return f"{name}: {problem}"
    winners = {name.partition(": ")[2] for name, ended in ends.items() if ended.code == 0}
    if len(winners) != 1:
        return f"{len(winners)} commands won: {sorted(winners)}; {[ended.err for ended in ends.values()]}"
    commands = {name.partition(": ")[2] for name in ends}
    if len(commands) == 1 and any(ended.code for ended in ends.values()):
        return f"the same command was refused: {[ended.err for ended in ends.values()]}"
    right, found = undisturbed(winners.pop(), folder), told(out)
    different = sorted(name for name in right.keys() | found.keys() if right.get(name) != found.get(name))
    left = [path.name for path in out.glob(".*") if path.name != ".lock"]
    if different or left:
        return f"other bytes in {different} than the winner writes alone, left over: {left}"
    return None


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Race commands whose imports are done, so that they meet where they start."""
    yield from race(random, count, folder, "races", cli, 0.05, SECONDS)
