"""The description of a run folder: its model, origin, scores, files, and the next commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from instar.errors import InstarError, RunError
from instar.inspection.next_commands import suggest_commands
from instar.inspection.scores import Score, read_scores
from instar.inspection.wholeness import FileState, check_files, check_model
from instar.models.trained import attach_network
from instar.objectives.notation import parse_objective
from instar.runs.documents import CheckpointHeader, D, ModelFile, ResultFile, as_document, read_document
from instar.runs.phases import earlier_phases
from instar.runs.rows import RunRow, read_row
from instar.runs.run import Run


@dataclass(frozen=True)
class Inspection:
    """The description of a run folder; fields that could not be read are empty.

    Args:
        path: run folder.
        state: "complete", "incomplete" or "damaged".
        model: name, arguments, parameters, size of the weights in bytes, input shape, and class names.
        origin: data and their fingerprints, teachers, start, objective, temperatures, targets, views, seed, date,
            commit, command, versions and machine.
        phases: the phases of its training before this one, in order: folder, objective, epochs and training seconds.
        scores: scores on each split, with their 95% intervals.
        files: all files, with their problems.
        resumes_at: step of the checkpoint; None if there is none.
        notes: sentences about what is missing.
        commands: suggestions of what to do next.
    """

    path: str
    state: str
    model: Mapping[str, Any]
    origin: Mapping[str, Any]
    phases: tuple[Mapping[str, Any], ...]
    scores: tuple[Score, ...]
    files: tuple[FileState, ...]
    resumes_at: int | None
    notes: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def damaged(self) -> tuple[FileState, ...]:
        """The files that are missing or damaged."""
        return tuple(file for file in self.files if file.problem)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)


def describe_run(run: Run | Path, *, trust: bool = False, network: nn.Module | str | None = None) -> Inspection:
    """Read every file of a run folder; see `instar.inspect`."""
    folder = run.path if isinstance(run, Run) else run
    row = read_row(folder, folder.name)
    files = check_files(folder)
    notes = [*row.notes, *_read(folder, "result.json", ResultFile).get("notes", [])]
    # the weights are loaded only into a folder without damage, whose files would otherwise raise once more
    if row.state == "complete" and not any(file.problem for file in files) and (folder / "model.json").is_file():
        # a network of the user, which model.json cannot rebuild, comes from the caller
        opened = attach_network(run if isinstance(run, Run) else Run(folder), network, trust=trust)
        problem, note = check_model(opened, trust=trust)
        notes += [note] if note else []
        files = [
            FileState(file.name, file.bytes, problem if file.name == "weights.safetensors" else file.problem)
            for file in files
        ]
    state = "damaged" if row.state == "damaged" or any(file.problem for file in files) else row.state
    resumes_at = _step(folder) if state != "complete" else None
    return Inspection(
        str(folder),
        state,
        _model(row, files),
        _origin(row),
        tuple(map(_phase, earlier_phases(folder, row.config.get("start")))),
        tuple(read_scores(folder)),
        tuple(files),
        resumes_at,
        tuple(notes),
        tuple(suggest_commands(row, state)),
    )


def _read(folder: Path, name: str, kind: type[D]) -> dict[str, Any]:
    try:
        return read_document(folder / name, kind).model_dump()
    except RunError:  # `check_files` reports it
        return {}


def _model(row: RunRow, files: list[FileState]) -> dict[str, Any]:
    described = _read(row.folder, "model.json", ModelFile)
    # incomplete runs and combinations have no model.json, but their configuration names the model
    configured = row.config.get("model", {})
    return {
        "name": described.get("name", configured.get("name")),
        "arguments": described.get("arguments", configured.get("arguments")),
        "parameters": _read(row.folder, "result.json", ResultFile).get("parameters"),
        "bytes": next((file.bytes for file in files if file.name == "weights.safetensors"), None),
        "input_shape": described.get("input_shape"),
        "reader": described.get("reader"),
        "dtype": described.get("dtype"),
        "classes": described.get("classes"),
    }


def _origin(row: RunRow) -> dict[str, Any]:
    config, environment = row.config, row.environment
    settings = (
        "data",
        "teachers",
        "start",
        "start_layers",
        "combine",
        "objective",
        "views",
        "targets",
        "seed",
        "corrected",
    )
    found = {name: config.get(name) for name in settings}
    found["temperatures"] = _temperatures(config.get("objective"))
    found["fingerprints"] = dict(row.fingerprints)
    return found | {name: environment.get(name) for name in ("date", "commit", "command", "versions", "machine")}


def _phase(folder: Path) -> dict[str, Any]:
    row = read_row(folder, folder.name)  # of a phase that is missing or damaged, only the folder is known
    epochs = row.config.get("training", {}).get("epochs")
    seconds = row.numbers.get("seconds")
    return {"folder": str(folder), "objective": row.config.get("objective"), "epochs": epochs, "seconds": seconds}


def _temperatures(objective: object) -> list[float] | None:
    try:
        return sorted(parse_objective(str(objective)).temperatures) if objective else []
    except InstarError:  # terms of the user: the folder has only their names
        return None


def _step(folder: Path) -> int | None:
    try:
        run = Run(folder)
        return as_document(run.tensors(run.checkpoint.name)[1], CheckpointHeader, run.checkpoint).step
    except RunError:
        return None
