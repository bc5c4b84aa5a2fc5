"""int8: replaces the float graph of an ONNX file, and compares both on the test split."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.compute.inputs import Inputs, name_tensors
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.exporting.recorded_predictions import largest_difference
from instar.exporting.refused import explain_refusal
from instar.exporting.student import Predict, Student
from instar.exporting.to_onnx import RECURRENT_OPERATIONS, open_onnx
from instar.models.readers.notation import parse_reader
from instar.models.readers.reader import Reader
from instar.runs.files import write_whole

NUM_CALIBRATION_SAMPLES = 256
"""Training samples whose activations decide the ranges of a static quantisation."""

MAX_JUDGED_SAMPLES = 10_000
"""Most test samples on which both graphs are compared."""

_BATCH_SIZE = 64
_PREPARED = ("onnx.infer", "onnx.quant.pre_process")  # keys that say that the graph is prepared, or warnings follow


@dataclass(frozen=True)
class Quantised:
    """A quantised graph beside the float graph that it was made from.

    Args:
        method: "static", with ranges of activations from training samples, or "dynamic", with ranges of each batch.
        float_bytes: size of the float file in bytes.
        weights: share of the weights, without biases, that have 8 bits now.
        samples: number of labelled test samples, or of their positions.
        float_accuracy: share of them that the float graph predicts correctly; NaN if there are none.
        accuracy: the same of the quantised graph.
        agreement: share of all test samples, or positions, that both graphs predict the same class for.
        difference: largest difference of a logit, in nats.
    """

    method: Literal["static", "dynamic"]
    float_bytes: int
    weights: float
    samples: int
    float_accuracy: float
    accuracy: float
    agreement: float
    difference: float

    def __str__(self) -> str:
        return (
            f"int8 ({self.method}) for {self.weights:.1%} of the weights, from {self.float_bytes:,} bytes; accuracy "
            f"{self.accuracy:.2%} after and {self.float_accuracy:.2%} before, on {self.samples:,} labelled test "
            f"examples; both predict the same class for {self.agreement:.2%}; logits differ by at most "
            f"{self.difference:.2g}"
        )


def quantise_onnx(student: Student, path: Path, predict: Predict) -> Quantised:
    """Replace the float graph of an ONNX file by one in int8, and compare both on the test split.

    Convolutional graphs are quantised statically, per channel, with uint8 activations: in onnxruntime on a CPU this is
    twice as fast as float, where dynamic quantisation of convolutions is slower than float. All other graphs, and those
    with recurrent layers or attention, are quantised dynamically, which needs no ranges and changed logits least;
    convolutions stay float there, such as the embedding of patches of a vision transformer.

    Args:
        student: model with its data.
        path: file that `write_onnx` has written.
        predict: runs the float graph.

    Raises:
        MismatchError: if onnxruntime cannot quantise or run the graph, or finds no weights to quantise.
    """
    import onnx

    graph = onnx.load(path)
    float_bytes = path.stat().st_size
    method: Literal["static", "dynamic"] = "static" if _is_convolutional(graph.graph) else "dynamic"
    try:
        content = _quantise(student, graph, method)
        if not (weights := _share_of_8_bits(content)):
            raise MismatchError(
                f"onnxruntime finds no weights of model '{student.name}' that it can quantise; leave out --quantise."
            )
        quantised = open_onnx(student, content)
        found = _compare(student, predict, quantised)
    except MismatchError:
        raise
    except Exception as error:  # errors of onnx and onnxruntime have no common base class
        raise MismatchError(explain_refusal("int8", student.name, error)) from None
    write_whole(path, lambda temporary: temporary.write_bytes(content))
    return Quantised(method, float_bytes, weights, **found)


def _is_convolutional(graph: Any) -> bool:
    kinds = {node.op_type for node in graph.node}
    weights = {weight.name for weight in graph.initializer}
    # attention is a product of two activations
    has_attention = any(node.op_type == "MatMul" and weights.isdisjoint(node.input) for node in graph.node)
    return "Conv" in kinds and kinds.isdisjoint(RECURRENT_OPERATIONS) and not has_attention


def _share_of_8_bits(content: bytes) -> float:
    import onnx

    kinds = onnx.TensorProto
    sizes = dict.fromkeys((kinds.FLOAT, kinds.INT8, kinds.UINT8), 0)  # embeddings become uint8
    for weight in onnx.load_from_string(content).graph.initializer:
        if weight.data_type in sizes and len(weight.dims) > 1:  # neither biases nor scales
            sizes[weight.data_type] += math.prod(weight.dims)
    total = sum(sizes.values())  # 0 for a graph of biases and scales alone
    return 1 - sizes[kinds.FLOAT] / total if total else 0.0


def _quantise(student: Student, graph: Any, method: str) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    for key in _PREPARED:
        graph.metadata_props.add(key=key, value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quantised.onnx"
        # weights of 7 bits: the products of pairs of 8 bits overflow without a word on processors without VNNI
        if method == "static":
            quantize_static(
                graph,
                out,
                _calibration(student),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=True,
            )
        else:
            kinds = [kind for kind in IntegerOpsRegistry if kind != "Conv"]
            quantize_dynamic(graph, out, weight_type=QuantType.QInt8, reduce_range=True, op_types_to_quantize=kinds)
        made = onnx.load(out)
    del made.metadata_props[:]
    described = {"quantised": json.dumps({"to": "int8", "method": method})}
    for key, value in {**metadata, **described}.items():
        made.metadata_props.add(key=key, value=value)
    return bytes(made.SerializeToString())


def _calibration(student: Student) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    reader = _reader_of(student)
    batches = _batches(_spread(student.data.train, NUM_CALIBRATION_SAMPLES))

    class Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def get_next(self) -> dict[str, Any] | None:
            batch = next(batches, None)
            return None if batch is None else _as_arrays(reader.feed(reader.collect(batch.column)))

    return Calibration()


def _as_arrays(inputs: Inputs) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in name_tensors(inputs).items()}


def _compare(student: Student, before: Predict, after: Predict) -> dict[str, Any]:
    reader = _reader_of(student)
    labelled = right_before = right_after = same = total = 0
    worst = 0.0
    for batch in _batches(_spread(student.data.test, MAX_JUDGED_SAMPLES)):
        inputs = reader.feed(reader.collect(batch.column))
        valid = batch.valid()
        expected, found, labels = (
            _select(values, valid)
            for values in (before(inputs).flatten(0, -2), after(inputs).flatten(0, -2), batch.labels.flatten())
        )
        worst = max(worst, largest_difference(expected, found))
        first, second, known = expected.argmax(-1), found.argmax(-1), labels != UNLABELLED
        labelled += int(known.sum())
        right_before += int((first == labels)[known].sum())
        right_after += int((second == labels)[known].sum())
        same += int((first == second).sum())
        total += len(labels)
    share = 1 / labelled if labelled else float("nan")
    return {
        "samples": labelled,
        "float_accuracy": right_before * share,
        "accuracy": right_after * share,
        "agreement": same / total if total else float("nan"),
        "difference": worst,
    }


def _select(values: Tensor, valid: Tensor | None) -> Tensor:
    return values if valid is None else values[valid]


def _batches(samples: Samples) -> Iterator[Batch]:
    # untrimmed, because a graph may take samples of one length only
    return Loader(samples, _BATCH_SIZE, seed=0).in_order(trim=False)


def _spread(samples: Samples, most: int) -> Samples:
    # evenly, because data may be sorted by class
    step = -(-len(samples) // most)
    return samples.select((torch.arange(len(samples)) % step) == 0)


def _reader_of(student: Student) -> Reader:
    described = student.header["model"]
    reader = parse_reader(described["reader"], trust=student.trust)
    return reader if described["knowledge"] is None else reader.with_knowledge(described["knowledge"])
