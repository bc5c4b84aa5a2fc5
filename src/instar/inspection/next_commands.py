"""Suggests what to do next with a run, as complete commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instar.config import default_settings
from instar.data.any_source import ARRAYS_SOURCE
from instar.data.from_function import names_a_function
from instar.errors import RunError
from instar.importing import is_import_path, names_an_import
from instar.nested import parse_assignment
from instar.runs.documents import ModelFile, read_document
from instar.runs.rows import RunRow, read_row


def suggest_commands(row: RunRow, state: str) -> list[str]:
    """Return commands that use a complete run, or the command that resumes another.

    The suggested student has the model, data and training settings of its teacher; users can make it smaller.

    Args:
        row: content of the run folder.
        state: "complete", "incomplete" or "damaged".
    """
    run = shlex.quote(str(row.folder))
    if state != "complete":
        command = str(row.environment.get("command") or "")
        # a script or a notebook recorded its own command line, which may do more than resume this run
        return [command] if command.startswith("instar ") else []
    report = f"instar report {shlex.quote(str(row.folder.parent))}"
    data = row.config["data"]
    if data["source"] == ARRAYS_SOURCE or _needs_network(row.folder):  # Python objects, which no command can name
        return [report]
    network = _network(row)
    name = str(network["model"]["name"]) if network else ""
    # parts by import path run code of the user
    reader = row.config.get("reader", "")
    is_imported = is_import_path(name) or names_a_function(data["source"]) or names_an_import(reader)
    trust = " --trust" if is_imported else ""
    taught = " ".join([shlex.quote(data["source"]), f"--teacher {run}", *_setting_flags("data", row.config)])
    commands = [f"instar evaluate {run}{trust}"]
    if (row.folder / "model.json").is_file():  # a combination has no network of its own to export
        commands.append(f"instar export {run} --to onnx{trust}")
    if network:
        arguments = _flags("--arg ", network["model"]["arguments"])
        student = " ".join([f"--model {shlex.quote(name)}", *arguments, *_setting_flags("training", network)])
        commands.append(f"instar distill {taught} {student} --out {run}-student{trust}")
    commands.append(f"instar label {taught} --out targets/{shlex.quote(row.folder.name)}{trust}")
    return [*commands, report]


def _needs_network(folder: Path) -> bool:
    try:
        return read_document(folder / "model.json", ModelFile).needs_network
    except RunError:
        return False


def _network(row: RunRow) -> Mapping[str, Any]:
    """Return the settings of a run, or of the first network that it combines; empty if unknown."""
    # combinations may nest; a member that is missing or damaged has no teachers, which ends the loop
    while not (row.folder / "model.json").is_file():
        members = row.config.get("teachers")
        if not members:
            return {}
        row = read_row(Path(members[0]), members[0])
    return row.config


def _setting_flags(group: str, config: Mapping[str, Any]) -> list[str]:
    """Return flags for the settings of a group that differ from the defaults."""
    usual = default_settings()[group]
    found = {name: value for name, value in config[group].items() if name != "source" and value != usual.get(name)}
    return _flags(f"--set {group}.", found)


def _flags(flag: str, values: Mapping[str, Any]) -> list[str]:
    """Return a flag for each value, quoted for a shell.

    >>> print(*_flags("--arg ", {"units": 16, "widths": [8, 8], "name": "a b", "tied": "true"}))
    --arg units=16 --arg 'widths=[8, 8]' --arg 'name=a b' --arg 'tied="true"'
    """
    found = []
    for name, value in values.items():
        # the string "true" needs its quotes, because the command line reads true as a boolean
        is_plain = isinstance(value, str) and parse_assignment(f"{name}={value}")[1] == value
        found.append(flag + shlex.quote(f"{name}={value if is_plain else json.dumps(value)}"))
    return found
