"""The weights alone, with how to build their network in the header: for `instar.load` and any reader."""

from __future__ import annotations

from pathlib import Path

from instar.exporting.loading import load_export
from instar.exporting.student import Answer, Student
from instar.runs.files import write_tensors


def write_safetensors(student: Student, path: Path) -> Answer:
    """Write weights and header, and return the model that `instar.load` makes of them.

    Raises:
        ConfigError: when its class is not to be imported again.
    """
    write_tensors(path, student.model.state_dict(), student.header)
    return load_export(path, trust=student.trust, network=student.network)
