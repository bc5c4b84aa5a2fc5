"""ONNX: written by torch's exporter, and run by onnxruntime before it gets its name."""

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

from instar.compute.inputs import Inputs, name_tensors
from instar.errors import ConfigError, MismatchError
from instar.exporting.feeding import explain_feeding
from instar.exporting.onnx_trees import make_tree_graph
from instar.exporting.refused import explain_refusal
from instar.exporting.student import Logits, Predict, Student
from instar.models.tree_ensemble import TreeEnsemble
from instar.runs.files import write_whole

MAX_WEIGHT_BYTES = 1536 * 2**20
"""An ONNX file holds less than 2 GiB; with more weights than this, torch writes a second file."""

RECURRENT_OPERATIONS = ("LSTM", "GRU", "RNN")
"""Operations of ONNX that hold a recurrent layer."""


def write_onnx(student: Student, path: Path) -> Predict:
    """Write a file with input "inputs" (several by name), output "logits" and metadata; return a function that runs it.

    The length of the axis "batch" is free, and that of "positions" too if the model takes any number.

    Raises:
        ConfigError: if a package of the extra is missing.
        MismatchError: if ONNX or onnxruntime lacks an operation, or the weights are too large for one file.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 (open_onnx needs it)
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError:
        raise ConfigError("onnx needs the extra: pip install 'instar[export]'.") from None
    size = sum(tensor.nbytes for tensor in student.model.state_dict().values())
    if size > MAX_WEIGHT_BYTES:
        raise MismatchError(
            f"an ONNX file holds at most {MAX_WEIGHT_BYTES:,} bytes of weights, and the model has {size:,}; choose "
            "another format."
        )
    try:
        # in memory, because torch's own writer blames a full disk on the model
        content = _make_content(student)
        onnx.checker.check_model(content, full_check=True)
        predict = open_onnx(student, content)
    except Exception as error:  # errors of torch, onnxscript, onnx and onnxruntime have no common base class
        raise MismatchError(explain_refusal("onnx", student.name, error)) from None
    write_whole(path, lambda temporary: temporary.write_bytes(content))
    return predict


def open_onnx(student: Student, content: bytes) -> Predict:
    """Return a function that runs the content of an ONNX file on a CPU.

    Raises:
        MismatchError: when it is called, if onnxruntime cannot run the graph.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def predict(inputs: Inputs) -> Tensor:
        try:
            (logits,) = session.run(["logits"], {name: one.numpy() for name, one in name_tensors(inputs).items()})
        except Exception as error:  # errors of onnxruntime have no base class of their own
            raise MismatchError(explain_refusal("onnx", student.name, error)) from None
        return torch.from_numpy(logits)

    return predict


def _make_content(student: Student) -> bytes:
    if isinstance(student.model.network, TreeEnsemble):
        from onnx import helper

        trees = make_tree_graph(student)
        helper.set_model_props(trees, _make_metadata(student))
        return bytes(trees.SerializeToString())
    program = _graph(student)
    _fold_recurrent_weights(program.model)
    program.model.metadata_props.update(_make_metadata(student))
    for node in program.model.graph.all_nodes():  # their metadata quote Python code, with paths of this machine
        node.metadata_props.clear()
    return bytes(_without_types_of_weights(program.model_proto).SerializeToString())


def _graph(student: Student) -> Any:
    for operation in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        operation._dispatch_cache.clear()  # it may hold a kernel of an earlier trace, without the decomposition below
    with warnings.catch_warnings(), _quiet(), _any_number_of_positions():
        # the exporter warns about its own code (pytree, sizes in loops, weights of an LSTM); its result is compared
        # later
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        return torch.onnx.export(
            Logits(student.model).eval(),
            (student.batches[0], {}),  # with arguments by name, of which there are none, because a dictionary is one
            input_names=list(name_tensors(student.batches[0])),
            output_names=["logits"],
            dynamic_shapes=(_free_axes(student),),
            dynamo=True,
            verbose=False,
        )


def _free_axes(student: Student) -> Any:
    if isinstance(student.batches[0], Tensor):
        return dict(enumerate(student.free_axes))
    return {name: dict(enumerate(student.axes_of(name))) for name in student.batches[0]}


@contextmanager
def _any_number_of_positions() -> Iterator[None]:
    # writes recurrent layers as loops over positions: torch 2.13 does so while it reads the network, but not while it
    # writes the graph, which then fixes the number of positions in the second of two layers
    try:
        from torch.export import _patches
    except ImportError:  # another torch: if it fixes the number too, the comparison refuses the export
        yield
        return
    with _patches.register_lstm_while_loop_decomposition(), _patches.register_gru_while_loop_decomposition():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    # hints about optional packages, which the export does not need, and about the exporter's own attributes
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _fold_recurrent_weights(model: Any) -> None:
    # torch writes the order of the gates as operations on the weights, and onnxruntime quantises constants alone; not
    # in other graphs, where a weight that two layers share would be written twice
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    if any(node.op_type in RECURRENT_OPERATIONS for node in model.graph.all_nodes()):
        fold_constants(model, input_size_limit=MAX_WEIGHT_BYTES, output_size_limit=MAX_WEIGHT_BYTES)
        remove_unused_nodes(model)


def _without_types_of_weights(model: Any) -> Any:
    # torch lists weights among the values of the graph too, and shape inference of a quantised graph then finds their
    # old types and shapes beside the new ones
    weights = {weight.name for weight in model.graph.initializer}
    kept = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    return model


def _make_metadata(student: Student) -> dict[str, str]:
    told = {"classes": json.dumps(student.classes), "inputs": explain_feeding(student.header["inputs"])}
    return told | {"instar": json.dumps(student.header)}
