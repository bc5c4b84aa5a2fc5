"""The weights alone, with how to build their network in the header: for `instar.load` and any reader."""

from __future__ import annotations

from pathlib import Path

from instar.files import write_tensors
from instar.procedures.exporting.load import load
from instar.procedures.exporting.student import Answer, Student


def write_safetensors(student: Student, path: Path) -> Answer:
    """Write weights and header, and return the model that `instar.load` makes of them.

    Raises:
        ConfigError: when its class is not to be imported again.
    """
    write_tensors(path, student.model.state_dict(), student.header)
    return load(path, trust=student.trust, network=student.network)
