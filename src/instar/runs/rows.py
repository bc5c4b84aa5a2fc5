"""Run folders in, rows out: complete, incomplete and damaged runs alike, none hidden."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from instar.errors import RunError
from instar.runs.documents import EnvironmentFile
from instar.runs.files import parse_json
from instar.runs.run import Run

State = Literal["complete", "incomplete", "damaged", "foreign"]

MAX_FOLDERS = 50_000
"""That are searched for runs."""

MAX_DEPTH = 100
"""Of folders in folders."""

FOREIGN = "Its config.json is of another program."


@dataclass(frozen=True)
class RunRow:
    """What a report knows of one run folder; what could not be read is empty.

    Args:
        name: path relative to the root of the report.
        folder: the run folder, resolved.
        state: "damaged" means that its configuration or its result cannot be read, "foreign" that another
            program made it.
        notes: sentences about what is missing or damaged.
        config: what was asked for, as nested values.
        fingerprints: of the data, the teachers and a given network.
        environment: versions, machine, commit, date.
        numbers: errors, error, low and high (its 95% interval), nll, ece, agreement, parameters, ..., where measured.
        history: the lines of metrics.jsonl.
    """

    name: str
    folder: Path
    state: State
    notes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.config["seed"])

    @property
    def teachers(self) -> tuple[str, ...]:
        """Run folders of its teachers as they were given, or names of teachers given as Python objects."""
        return tuple(self.config["teachers"])

    @property
    def model(self) -> str:
        """The model with its arguments; those that are zero, false or none are left out."""
        described = self.config["model"]
        arguments = ", ".join(f"{name}={value}" for name, value in described["arguments"].items() if value)
        return f"{described['name']}({arguments})"

    @property
    def objective(self) -> str:
        """The objective, and whether logits were shifted afterwards."""
        corrected = ", then bias correction" if "corrected" in self.config else ""
        return f"{self.config['objective']}{corrected}"


def collect(root: Path, base: Path | None = None) -> list[RunRow]:
    """Return a row for each run folder at or under `root`, in the natural order of their names, and for foreign ones.

    Folders whose names begin with a dot are not searched.

    Args:
        root: where to search.
        base: names are relative to it; `root` unless given.

    Raises:
        RunError: when `root` is no folder, or holds too many folders, or too deep ones, to be a folder of runs.
    """
    if not os.path.isdir(root):
        raise RunError(f"'{root}' is not a folder, so it holds no runs.")
    base = (base or root).resolve()
    found = list(_find(root.resolve()))  # before any file is read: there may be too many folders
    rows = [
        read_row(folder, _name(folder, base))
        if _is_run(folder, files)
        else RunRow(_name(folder, base), folder, "foreign", (FOREIGN,))
        for folder, files in found
    ]
    return sorted(rows, key=lambda row: natural(row.name))


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers inside names by their value.

    >>> sorted(["run-10", "run-9", "other"], key=natural)
    ['other', 'run-9', 'run-10']
    """
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]


def read_row(folder: Path, name: str) -> RunRow:
    """Read one run folder; whatever is wrong with it becomes a note."""
    try:
        run = Run(folder)
        config, fingerprints = run.config, run.fingerprints
        row = RunRow(name, folder, "complete", config=config, fingerprints=fingerprints)
        _ = row.seed, row.teachers, row.model, row.objective, fingerprints.get("data"), config["training"]["epochs"]
        result = run.result if run.complete else None
        numbers = {} if result is None else _numbers(result)
    except RunError as error:
        return RunRow(name, folder, "damaged", (str(error).replace(f"{folder}/", ""),))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return RunRow(name, folder, "damaged", (f"The files cannot be read: {_reason(error)}.",))
    notes: list[str] = []
    history = _history(run, notes)
    environment = _environment(run, notes)
    if not run.complete:
        notes.insert(0, _progress(run, history, config["training"]["epochs"]))
    elif result is not None and result["metrics"] is None:
        notes.append("It was judged on validation alone, and has no test errors.")
    state: State = "complete" if run.complete else "incomplete"
    return RunRow(name, folder, state, tuple(notes), config, fingerprints, environment, numbers, history)


def _find(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield folders that hold a config.json or what else a run has, and their files."""
    for number, (path, subfolders, files) in enumerate(os.walk(root)):  # which follows no links
        depth = len(Path(path).parts) - len(root.parts)
        if number >= MAX_FOLDERS or depth > MAX_DEPTH:
            found = f"folders {depth} deep" if depth > MAX_DEPTH else f"more than {MAX_FOLDERS:,} folders"
            raise RunError(
                f"'{root}' holds {found}, and is not searched for runs; name the folders that hold the runs."
            )
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        if "config.json" in files or "environment.json" in files:
            yield Path(path), files


def _is_run(folder: Path, files: Iterable[str]) -> bool:
    """Tell a run folder from folders of other programs, many of which hold a config.json too."""
    if "environment.json" in files:
        return True
    if "config.json" not in files:
        return False
    try:
        content = parse_json(folder / "config.json")
    except (OSError, ValueError):
        return "metrics.jsonl" in files or "result.json" in files
    return isinstance(content, dict) and {"config", "fingerprints"} <= content.keys()


def _name(folder: Path, base: Path) -> str:
    name = folder.relative_to(base).as_posix() if folder != base else folder.name
    return os.fsencode(name).decode(errors="replace")


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a result.json under one level of names."""
    metrics = result["metrics"] or {}
    low, high = metrics.get("error_interval") or (None, None)
    found = {**metrics, "low": low, "high": high, **{name: result.get(name) for name in ("parameters", "seconds")}}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _history(run: Run, notes: list[str]) -> tuple[Mapping[str, Any], ...]:
    try:
        lines = run.history()
    except (OSError, ValueError) as error:
        reason = _reason(error).replace(f"{run.path}/", "")
        notes.append(f"The curves are left out, because metrics.jsonl cannot be read: {reason}.")
        return ()
    return tuple(line for line in lines if isinstance(line, dict) and isinstance(line.get("epoch"), int | float))


def _environment(run: Run, notes: list[str]) -> Mapping[str, Any]:
    try:
        return run.document("environment.json", EnvironmentFile).model_dump(exclude={"checksum"})
    except RunError as error:
        notes.append(str(error).replace(f"{run.path}/", ""))
    except (OSError, ValueError) as error:
        notes.append(f"environment.json cannot be read: {_reason(error)}.")
    return {}


def _progress(run: Run, history: tuple[Mapping[str, Any], ...], epochs: float) -> str:
    reached = history[-1]["epoch"] if history else 0
    sentence = f"Epoch {reached:g} of {epochs:g} so far; run its command again to finish it."
    try:
        lines = (run.path / "error.txt").read_text(errors="replace").split("\n")
    except OSError:
        return sentence
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{sentence} It stopped with: {re.sub(r'^[A-Za-z_][A-Za-z0-9_.]*: ', '', last)}"


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return " ".join(str(error).split()).rstrip(".")
