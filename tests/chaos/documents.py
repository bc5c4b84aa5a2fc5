"""Mutated documents: whatever a JSON or YAML file says, every verb ends with a result or with one short sentence.

A changed document keeps its checksum, or gets the right one, as somebody gives it who means harm, or is of a format
from before there were any. So both the checksums and the shapes behind them are tried.
"""

from __future__ import annotations

import functools
import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import xxhash
from tests.chaos.bit_flips import PAUSED, TINY, prepared
from tests.chaos.harness import Ended, Outcome, command, problem_of, scratch, start
from tests.chaos.mutations import mutated, mutated_text
from tests.older import as_older

import instar
from instar.errors import InstarError, say
from instar.procedures.specialists.clusters import Clusters
from instar.runs.checksums import digest, seal
from instar.runs.files import read_tensors, write_tensors

COUNT = 1000
SEEDED = 6

HANGS, QUICK, LITTLE = 30.0, 2, 500 << 20
"""Seconds after which a tiny command hangs on a busy machine; processor seconds, and bytes, of verbs that only read."""

SMALL = ("digits", *TINY, "--set", "data.subset=60")
RUN_FILES = ("config.json", "environment.json", "result.json", "model.json", "cost.json", "metrics.jsonl")
FILES = {
    **dict.fromkeys(("teacher", "student", "both", "paused"), RUN_FILES),
    "store": ("manifest.json",),
    "hub": ("config.json",),
    "exported.safetensors": ("",),
    "clusters.json": ("",),
}
"""Documents by what they belong to; "": it is one itself."""

VERBS: dict[str, tuple[tuple[str, ...], ...]] = {
    "teacher": (
        ("inspect", "teacher", "--json"),
        ("report", ".", "--out", "report.html"),
        ("evaluate", "teacher", "--json"),
        ("compare", "teacher", "student", "--json"),
        ("export", "teacher", "--to", "safetensors", "--out", "out.safetensors"),
        ("distill", *SMALL, "--teacher", "teacher", "--out", "out"),
        ("label", "digits", "--teacher", "teacher", "--out", "out"),
        ("train", "digits", *TINY, "--out", "teacher"),
        ("correct-bias", "teacher", "--class", "3", "--out", "out"),
        ("specialists", "cluster", "teacher", "--clusters", "2"),
    ),
    "student": (
        ("inspect", "student"),
        ("report", "student", "--out", "report.html"),
        ("compare", "teacher", "student"),
        ("distill", "digits", "--teacher", "teacher", *TINY, "--out", "student"),
        ("export", "student", "--to", "hub", "--out", "out"),
    ),
    "both": (
        ("inspect", "both", "--json"),
        ("report", ".", "--out", "report.html"),
        ("evaluate", "both"),
        ("distill", *SMALL, "--teacher", "both", "--out", "out"),
    ),
    "paused": (
        ("inspect", "paused", "--json"),
        ("report", ".", "--out", "report.html"),
        ("evaluate", "paused"),
        (*PAUSED, "paused"),
    ),
    "store": (
        ("targets", "info", "store"),
        ("targets", "verify", "store"),
        ("targets", "merge", "store", "--out", "out"),
        ("distill", *SMALL, "--teacher", "store", "--out", "out"),
        ("label", "digits", "--teacher", "teacher", "--out", "store"),
    ),
    "hub": (("load", "hub"), ("inspect", "hub"), ("report", ".", "--out", "report.html")),
    "exported.safetensors": (("load", "exported.safetensors"),),
    "clusters.json": (
        ("specialists", "train", "teacher", "--clusters", "clusters.json", "--epochs", "1", "--out", "o"),
    ),
}

SETTINGS: dict[str, Any] = {
    "data": {"source": "digits", "subset": 60, "validation": 50, "special_classes": [], "omit_classes": []},
    "model": {"name": "mlp", "arguments": {"widths": [4], "dropout": 0.1}},
    "training": {
        "batch_size": 32,
        "learning_rate": 0.01,
        "optimiser": "adam",
        "schedule": "constant",
        "milestones": [1],
        "ema": None,
        "weight_decay": 0.0,
    },
    "objective": "HardLabels()",
    "views": "Shift(1)",
    "seed": 3,
}
"""A configuration file, in all of whose places there may be something else."""


@functools.cache
def all_documents(folder: Path) -> Path:
    """Return a folder with one of everything that holds documents."""
    base = prepared(folder)
    Clusters((("1", "7"), ("3", "8"))).write(base / "clusters.json")
    return base


def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
    """Change a document, and try a verb on what it belongs to."""
    for _ in range(count):
        base = all_documents(folder)
        before = set(folder.iterdir())
        with scratch(folder) as above:
            here = above / "here"
            shutil.copytree(base, here)
            trial = random.choices((_document, _settings), (5, 1))[0]
            tried, problem = trial(random, here)
            strangers = {*above.iterdir(), *folder.iterdir()} - before - {here, above}
            if not problem and strangers:
                problem = f"it wrote elsewhere: {sorted(path.name for path in strangers)}"
        yield Outcome("documents", tried, problem)


def _document(random: Random, here: Path) -> tuple[str, str | None]:
    name = random.choice(list(FILES))
    subject, verb = here / name, random.choice(VERBS[name])
    file = random.choice([file for file in FILES[name] if (subject / file).is_file()])
    how = random.choice(("as it is", "sealed", "older"))
    if how == "older" and (subject / "environment.json").is_file():
        as_older(subject)
    path = subject / file if file else subject
    before = _meaning(path)
    what = _change(random, path, is_sealed=how == "sealed")
    ended = _tried(verb, here)
    problem = problem_of(ended)
    is_told = ended.code or "--json" not in verb or verb[0] != "inspect" or json.loads(ended.out)["state"] == "damaged"
    if not problem and how == "as it is" and not is_told and _meaning(path) != before:
        problem = "no damage is told"
    return f"{name}/{file}, {how}, {what}: {' '.join(verb)}", problem


def _meaning(path: Path) -> object:
    """Return what JSON says, however it is written, or else its bytes."""
    content = path.read_bytes()
    try:
        return json.dumps(
            [json.loads(line) for line in content.split(b"\n")[:-1]]
            if path.suffix == ".jsonl"
            else json.loads(content),
            sort_keys=True,
        )
    except (ValueError, RecursionError):
        return content


def _tried(verb: tuple[str, ...], here: Path) -> Ended:
    if verb[0] == "load":
        return start(functools.partial(_load, here / verb[1]), cwd=here).wait(HANGS)
    if verb[0] in ("inspect", "report"):
        return command(*verb, cwd=here, seconds=HANGS, memory=LITTLE, limits={resource.RLIMIT_CPU: QUICK})
    return command(*verb, cwd=here, seconds=HANGS)


def _load(path: Path) -> None:
    try:
        instar.load(path)
    except InstarError as error:
        say(f"instar: {error}")
        raise SystemExit(2) from None


def _change(random: Random, file: Path, *, is_sealed: bool) -> str:
    """Change a document in one to three places, and return in words how."""
    if file.suffix == ".safetensors":
        tensors, header = read_tensors(file)
        header, what = mutated(random, header)
        if isinstance(header, dict):
            write_tensors(file, tensors, header)
        return what
    if file.suffix == ".jsonl":
        return _change_line(random, file, is_sealed=is_sealed)
    text = file.read_text()
    if not is_sealed and random.random() < 0.4:
        content, what = mutated_text(random, text)
        file.write_bytes(content)
        return what
    values, what = mutated(random, json.loads(text))
    if is_sealed and isinstance(values, dict):
        values = seal(values)
    file.write_text(json.dumps(values))
    if is_sealed and isinstance(values, dict):
        _seal_others(file)
    return what


def _change_line(random: Random, file: Path, *, is_sealed: bool) -> str:
    lines = file.read_text().splitlines()
    number = random.randrange(len(lines))
    values, what = mutated(random, json.loads(lines[number]))
    if is_sealed and isinstance(values, dict):
        config = json.loads((file.parent / "config.json").read_text())
        values = seal(values, digest([config["config"], config["fingerprints"]]))
    lines[number] = json.dumps(values)
    file.write_text("\n".join(lines) + "\n")
    if is_sealed:
        _seal_others(file)
    return what


def _seal_others(file: Path) -> None:
    """Let the result of a run name the checksum of a changed file."""
    result = file.parent / "result.json"
    if not result.is_file() or result == file:
        return
    found = json.loads(result.read_text())
    files = found.get("files")
    if file.name in files:
        content = file.read_bytes()
        files[file.name] = (
            xxhash.xxh3_128_hexdigest(content) if file.suffix == ".jsonl" else json.loads(content)["checksum"]
        )
        result.write_text(json.dumps(seal(found)))


def _settings(random: Random, here: Path) -> tuple[str, str | None]:
    """Change a configuration file, or say the same with `--set`."""
    flags = ("--epochs", "1", "--out", "out")
    if random.random() < 0.3:
        content, what = mutated_text(random, json.dumps(SETTINGS, indent=1))
        (here / "given.yaml").write_bytes(content)
    else:
        values, what = mutated(random, SETTINGS)
        (here / "given.yaml").write_text(json.dumps(values))
    if random.random() < 0.5:
        group = random.choice(("data", "model", "training", "model.arguments"))
        value = json.dumps(mutated(random, {"a": 1})[0])
        keys = {"model.arguments": "widths"}.get(group) or random.choice(list(SETTINGS[group]))
        (here / "given.yaml").write_text(json.dumps(SETTINGS))
        flags, what = (*flags, "--set", f"{group}.{keys}={value}"), f"--set {group}.{keys}={value[:100]}"
    ended = command("train", "--config", "given.yaml", *flags, cwd=here, seconds=HANGS)
    return f"settings, {what}", problem_of(ended)
