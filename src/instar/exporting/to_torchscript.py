"""TorchScript: a traced graph that libtorch runs without Python."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch.jit import TracerWarning  # type: ignore[attr-defined]  # it does not list what it exports

from instar.errors import MismatchError
from instar.exporting.refused import explain_refusal
from instar.exporting.student import Logits, Predict, Student
from instar.runs.files import write_whole


def write_torchscript(student: Student, path: Path) -> Predict:
    """Trace the model, write it with the extra files `instar.json` (header) and `classes.json`, and load it again.

    Where the model takes several inputs, the graph takes one dictionary of tensors by name.

    Raises:
        MismatchError: if the model cannot be traced; names the operation.
    """
    with warnings.catch_warnings():
        # torch prefers torch.export to TorchScript, but only TorchScript runs in a libtorch without Python
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is (deprecated|not supported)", DeprecationWarning)
        # tracing freezes a Python branch on values as the traced batch took it, and other inputs may take the other
        warnings.filterwarnings("error", category=TracerWarning)
        TracerWarning.ignore_lib_warnings()  # torch's own layers branch only to check shapes
        try:
            traced = torch.jit.trace(Logits(student.model).eval(), (student.batches[0],), check_trace=False)
        except Exception as error:  # of any kind, TracerWarning included
            raise MismatchError(explain_refusal("torchscript", student.name, error)) from None
        extra = {"instar.json": json.dumps(student.header), "classes.json": json.dumps(student.classes)}
        # to memory first, because torch aborts the process if the disk is full
        content = io.BytesIO()
        torch.jit.save(traced, content, _extra_files=extra)
        write_whole(path, lambda temporary: temporary.write_bytes(content.getbuffer()))
        loaded: Predict = torch.jit.load(str(path), map_location="cpu")
    return loaded
