"""ONNX: written by torch's exporter, and run by onnxruntime before anybody sees it."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instar.errors import ConfigError, MismatchError
from instar.exporting.refused import refused
from instar.exporting.student import Answer, Logits, Student
from instar.runs.files import write_whole

LARGEST = 1536 * 2**20
"""Bytes of weights: a file holds less than 2 GiB, and above this torch writes a second one."""


def write_onnx(student: Student, path: Path) -> Answer:
    """Write one file with the input "inputs", the output "logits" and both JSON texts as metadata, and run it.

    The axes "batch" and, where the model takes any number, "positions" may have any length.

    Raises:
        ConfigError: when a package of the extra is missing.
        MismatchError: when ONNX or onnxruntime lacks an operation, or the weights are too large for one file.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError:
        raise ConfigError("onnx needs the extra: pip install 'instar[export]'.") from None
    size = sum(tensor.nbytes for tensor in student.model.state_dict().values())
    if size > LARGEST:
        raise MismatchError(f"onnx holds at most {LARGEST / 2**30:g} GiB of weights in a file, and there are {size:,}.")
    try:
        program = _graph(student)
        _describe(program.model, student)
        content = program.model_proto.SerializeToString()
        onnx.checker.check_model(content, full_check=True)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # torch, onnxscript, onnx and onnxruntime have kinds of their own, without a common base
        raise MismatchError(refused("onnx", student.name, error)) from None
    write_whole(path, lambda temporary: temporary.write_bytes(content))

    def answer(inputs: Tensor) -> Tensor:
        try:
            (logits,) = session.run(["logits"], {"inputs": inputs.numpy()})
        except Exception as error:  # of onnxruntime, which derives it from nothing
            raise MismatchError(refused("onnx", student.name, error)) from None
        return torch.from_numpy(logits)

    return answer


def _graph(student: Student) -> Any:
    """Return what torch's exporter makes of the model."""
    for operation in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        operation._dispatch_cache.clear()  # where it ran before under a tracer, the kernel that was then found is used
    with warnings.catch_warnings(), _quiet(), _any_number_of_positions():
        # it warns of its own code (pytree, sizes in loops, weights of an LSTM); what it makes is measured afterwards
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        return torch.onnx.export(
            Logits(student.model).eval(),
            (student.batches[0],),
            input_names=["inputs"],
            output_names=["logits"],
            dynamic_shapes=(dict(enumerate(student.free_axes)),),
            dynamo=True,
            verbose=False,
        )


@contextmanager
def _any_number_of_positions() -> Iterator[None]:
    """Have recurrent layers be written as loops.

    For one export torch 2.13 does so itself while it reads the network, but not while it then writes the graph, which
    makes the second of two layers one for the positions that it saw. A torch that cannot is found out afterwards.
    """
    try:
        from torch.export import _patches
    except ImportError:
        yield
        return
    with _patches.register_lstm_while_loop_decomposition(), _patches.register_gru_while_loop_decomposition():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from telling which packages it could have used."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _describe(model: Any, student: Student) -> None:
    """Set metadata, and drop what the exporter knows of the Python code, with paths of this machine."""
    model.metadata_props.update({"classes": json.dumps(student.classes), "instar": json.dumps(student.header)})
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
