"""Search for run folders and read each as a row of a report, whether complete, incomplete or damaged."""

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

RunState = Literal["complete", "incomplete", "damaged", "foreign"]

MAX_FOLDERS = 50_000
"""Most folders that a search for runs visits."""

MAX_DEPTH = 100
"""Deepest nesting of folders that a search for runs visits."""

INTERVAL_SUFFIX = "_interval"
"""Suffix of the metrics that are a 95% interval, `[low, high]`."""

FOREIGN_NOTE = "It is an export, or another program wrote its config.json."
EXPORTS = "export"
"""Folder of a run that `instar export` writes into."""


@dataclass(frozen=True)
class RunRow:
    """One run folder in a report; fields that could not be read are empty.

    Args:
        name: path relative to the root of the report.
        folder: resolved path of the run folder.
        state: "damaged" if the configuration or the result cannot be read, "foreign" if another program wrote the
            folder.
        notes: sentences about missing or damaged files.
        config: settings of the run, as nested values.
        fingerprints: fingerprints of the data, the teachers and a network given as a Python object.
        environment: versions, machine, commit, date.
        numbers: metrics of the test set by name, `..._low` and `..._high` of stored intervals, parameters, seconds.
        history: lines of metrics.jsonl.
    """

    name: str
    folder: Path
    state: RunState
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
        """Run folders of the teachers as given, or names of teachers given as Python objects."""
        return tuple(self.config["teachers"])

    @property
    def model(self) -> str:
        """The model and its arguments, without those that are zero, false or None."""
        described = self.config["model"]
        arguments = ", ".join(f"{name}={value}" for name, value in described["arguments"].items() if value)
        return f"{described['name']}({arguments})"

    @property
    def objective(self) -> str:
        """The objective, and whether bias correction followed."""
        corrected = ", then bias correction" if "corrected" in self.config else ""
        return f"{self.config['objective']}{corrected}"


def collect(root: Path, base: Path | None = None, *, max_folders: int = MAX_FOLDERS) -> list[RunRow]:
    """Return a row for each run folder at or below `root`, and for folders of other programs, in natural name order.

    Folders whose names begin with a dot are skipped.

    Args:
        root: folder to search.
        base: folder that names are relative to; `root` by default.
        max_folders: most folders that are searched.

    Raises:
        RunError: when `root` is not a folder, or has too many or too deeply nested folders to be a folder of runs.
    """
    if not os.path.isdir(root):
        raise RunError(f"'{root}' is not a folder; give a folder that contains runs.")
    base = (base or root).resolve()
    found = list(_find(root.resolve(), max_folders))  # counts all folders before any file is read
    rows = [
        read_row(folder, _name(folder, base))
        if _is_run(folder, files)
        else RunRow(_name(folder, base), folder, "foreign", (FOREIGN_NOTE,))
        for folder, files in found
    ]
    return sorted(rows, key=lambda row: natural(row.name))


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that orders numbers inside names by value.

    >>> sorted(["run-10", "run-9", "other"], key=natural)
    ['other', 'run-9', 'run-10']
    """
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts if part]


def read_row(folder: Path, name: str) -> RunRow:
    """Read one run folder; each problem becomes a note."""
    try:
        run = Run(folder)
        config, fingerprints = run.config, run.fingerprints
        row = RunRow(name, folder, "complete", config=config, fingerprints=fingerprints)
        # read once here, so that no section of a report meets a value that is missing or of another type
        _ = row.seed, row.teachers, row.model, row.objective, config["training"]["epochs"]
        result = run.result if run.complete else None
        numbers = {} if result is None else _numbers(result)
    except RunError as error:  # its sentence names the folder, and the report does so beside it
        return RunRow(name, folder, "damaged", (str(error).replace(f"{folder}/", ""),))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return RunRow(name, folder, "damaged", (f"The files cannot be read: {_reason(error)}.",))
    notes: list[str] = []
    history = _history(run, notes)
    environment = _environment(run, notes)
    if not run.complete:
        notes.insert(0, _progress(run, history, config["training"]["epochs"]))
    elif result is not None and result["metrics"] is None:
        notes.append("It was evaluated only on validation, so it has no test errors.")
    state: RunState = "complete" if run.complete else "incomplete"
    return RunRow(name, folder, state, tuple(notes), config, fingerprints, environment, numbers, history)


def _find(root: Path, max_folders: int) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders that contain config.json or environment.json, and the names of their files."""
    for number, (path, subfolders, files) in enumerate(os.walk(root)):  # follows no links
        depth = len(Path(path).parts) - len(root.parts)
        if number >= max_folders or depth > MAX_DEPTH:
            found = f"folders {depth} deep" if depth > MAX_DEPTH else f"more than {max_folders:,} folders"
            raise RunError(
                f"'{root}' contains {found}, which is too many to search; give the folders that contain the runs."
            )
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]  # in place: os.walk reads it again
        if "config.json" in files or "environment.json" in files:
            # exports of a run are neither runs nor by another program
            subfolders[:] = [name for name in subfolders if name != EXPORTS]
            yield Path(path), files


def _is_run(folder: Path, files: Iterable[str]) -> bool:
    if "environment.json" in files:
        return True
    if "config.json" not in files:
        return False
    # models of Transformers and other programs have a config.json too
    try:
        content = parse_json(folder / "config.json")
    except (OSError, ValueError):  # damaged; its neighbours tell whose it was
        return "metrics.jsonl" in files or "result.json" in files
    return isinstance(content, dict) and {"config", "fingerprints"} <= content.keys()


def _name(folder: Path, base: Path) -> str:
    name = folder.relative_to(base).as_posix() if folder != base else folder.name
    return os.fsencode(name).decode(errors="replace")  # file names need not be UTF-8, and a report is


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    metrics = result["metrics"] or {}  # null: only validation was evaluated
    found = {**metrics, **{name: result.get(name) for name in ("parameters", "seconds")}}
    for name, value in metrics.items():
        if name.endswith(INTERVAL_SUFFIX) and value:
            found |= zip((f"{name.removesuffix(INTERVAL_SUFFIX)}_{end}" for end in ("low", "high")), value, strict=True)
    return {
        name: value
        for name, value in found.items()
        # true is an int in Python
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _history(run: Run, notes: list[str]) -> tuple[Mapping[str, Any], ...]:
    try:
        lines = run.history()
    except (OSError, ValueError) as error:  # the result counts without its curves
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
    # the last line of a traceback, without the class of the error
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{sentence} It stopped with: {re.sub(r'^[A-Za-z_][A-Za-z0-9_.]*: ', '', last)}"


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):  # its text is the key alone
        return f"{error} is missing"
    return " ".join(str(error).split()).rstrip(".")
