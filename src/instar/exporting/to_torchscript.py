"""TorchScript: a traced graph that libtorch runs without Python."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch.jit import TracerWarning  # type: ignore[attr-defined]  # it does not list what it exports

from instar.errors import MismatchError
from instar.exporting.refused import refused
from instar.exporting.student import Answer, Logits, Student
from instar.runs.files import write_whole


def write_torchscript(student: Student, path: Path) -> Answer:
    """Trace the model, write it with its header as the extra files `instar.json` and `classes.json`, and load it again.

    Raises:
        MismatchError: when it cannot be traced; names the operation.
    """
    with warnings.catch_warnings():
        # torch deprecates TorchScript for torch.export, which cannot be loaded where there is only libtorch's reader of
        # TorchScript; who asks for this format has such a place
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is (deprecated|not supported)", DeprecationWarning)
        # a branch of Python's on values is frozen as the traced batch took it: refused, because other inputs may differ
        warnings.filterwarnings("error", category=TracerWarning)
        TracerWarning.ignore_lib_warnings()  # but those of layers of torch, which only check shapes
        try:
            traced = torch.jit.trace(Logits(student.model).eval(), student.batches[0], check_trace=False)
        except Exception as error:  # of many kinds, a TracerWarning among them
            raise MismatchError(refused("torchscript", student.name, error)) from None
        extra = {"instar.json": json.dumps(student.header), "classes.json": json.dumps(student.classes)}
        # to memory, because torch ends the process where a disk is full
        content = io.BytesIO()
        torch.jit.save(traced, content, _extra_files=extra)
        write_whole(path, lambda temporary: temporary.write_bytes(content.getbuffer()))
        loaded: Answer = torch.jit.load(str(path), map_location="cpu")
    return loaded
