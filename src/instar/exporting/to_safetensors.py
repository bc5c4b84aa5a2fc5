"""safetensors: the weights, with a header from which `instar.load` rebuilds the network."""

from __future__ import annotations

from pathlib import Path

from instar.exporting.loading import load_export
from instar.exporting.student import Predict, Student
from instar.runs.files import write_tensors


def write_safetensors(student: Student, path: Path) -> Predict:
    """Write weights and header, and return the model that `instar.load` reads from them.

    Raises:
        ConfigError: if the model's class is not trusted.
    """
    # not in the header of all formats, because a large vocabulary takes megabytes
    kept = {} if student.tokenizer is None else {"tokenizer": student.tokenizer}
    header = {**student.header, "model": {**student.header["model"], **kept}}
    write_tensors(path, student.model.state_dict(), header)
    return load_export(path, trust=student.trust, network=student.network)
