"""What is exported: the model of a run, its header, and test samples on which its export is compared with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.inputs import (
    Inputs,
    Shapes,
    as_lists,
    change_tensors,
    describe_shapes,
    list_tensors,
    map_tensors,
    shapes_of,
    split_rows,
)
from instar.compute.packed import PACKED_INPUTS, are_packed
from instar.config import DataConfig
from instar.data.dataset import Data
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.exporting.feeding import describe_feeding
from instar.exporting.recorded_predictions import Recorded, compare_with_recorded, largest_difference
from instar.models.causal_lm import CausalLM
from instar.models.normalised import Normalised
from instar.models.readers.encoded import WORD_STARTS
from instar.models.readers.reader import Reader
from instar.models.readers.saved import read_description
from instar.models.readers.text_reader import TextReader
from instar.models.trained import load_model, network_of
from instar.models.transformers_classifier import TransformersClassifier
from instar.runs.environment import package_version
from instar.runs.run import Run
from instar.stages.run_data import read_run_data
from instar.teachers.run_folders import ENSEMBLE, SPECIALISTS

EXPORT_FORMAT = 2
"""Version of the header of every export; since 2 it has a checksum, which loading compares."""

COMPARED_BATCH_SIZES = (7, 1)
"""Batch sizes of the comparison: an unusual one, which no exporter hard-codes by chance, and the smallest."""

Predict = Callable[[Inputs], Tensor]
"""Returns the logits `[batch, ...]` of raw inputs `[batch, ...]`."""


class Logits(nn.Module):
    """logits = model(inputs): a module with one argument and one output, also for models that may take a state.

    Args:
        model: takes raw inputs; a recurrent model starts without a state at every call.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Inputs) -> Tensor:
        """Return logits `[batch, (position,) classes]`."""
        logits: Tensor = self.model(inputs)
        return logits


@dataclass(frozen=True, eq=False)
class Student:
    """The model of a complete run, ready to be written.

    Args:
        run: run folder.
        model: model in eval mode, on the CPU, without its reader.
        header: JSON values that travel with the weights: `format`, `instar` (version), `model` (how to build it, with
            the names of its classes) and `inputs` (dtype, shape of one, whether their length is free, and how to feed
            them, see `describe_feeding`; dtypes and shapes by name where the model takes several).
        batches: raw test inputs, `[batch, ...]` each.
        data: data of the run, or those that were given.
        trust: whether the model's class may be imported.
        network: network that was given as a Python object, which loading needs again.
        recorded: comparison with the predictions of the run; None if the data are not those of the run.
    """

    run: Run
    model: Normalised
    header: dict[str, Any]
    batches: tuple[Inputs, ...]
    data: Data
    trust: bool
    network: nn.Module | str | None = None
    recorded: Recorded | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.header["model"]["name"])

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(self.header["model"]["classes"])

    @property
    def tokenizer(self) -> dict[str, str] | None:
        """Files of the tokenizer of a language model by name; None for other models, and where none was kept."""
        return self.model.network.tokenizer_files if isinstance(self.model.network, CausalLM) else None

    @property
    def free_axes(self) -> list[str]:
        """Names of the leading axes, whose length is free."""
        return ["batch", "positions"] if self.any_length else ["batch"]

    def axes_of(self, name: str) -> list[str]:
        """Return the names of the free axes of one of several inputs; words are fewer than the tokens of their text."""
        return [{"positions": "words"}.get(axis, axis) if name == WORD_STARTS else axis for axis in self.free_axes]

    @property
    def any_length(self) -> bool:
        """Whether the model takes samples with any number of positions."""
        return bool(self.header["inputs"]["any_length"])

    def shapes(self) -> tuple[str, str]:
        """Return dtype and shape of inputs and of logits as text; "batch" and "positions" stand for any number."""
        with torch.inference_mode():
            logits = self.model(self.batches[0])
        first = self.batches[0]
        if isinstance(first, Tensor):
            several = self._describe_shape(first, self.free_axes)
        else:
            several = ", ".join(
                f"{name} {self._describe_shape(one, self.axes_of(name))}" for name, one in first.items()
            )
        # logits of whole samples have no positions, even where the inputs have
        of_logits = self.axes_of(WORD_STARTS if isinstance(first, Mapping) and WORD_STARTS in first else "")
        return several, self._describe_shape(logits, axes=of_logits[: logits.dim() - 1])

    def _describe_shape(self, values: Tensor, axes: Sequence[str]) -> str:
        shape = [*axes, *map(str, values.shape[len(axes) :])]
        return f"{str(values.dtype).removeprefix('torch.')} [{', '.join(shape)}]"

    def difference(self, predict: Predict) -> float:
        """Return max |z - z'| over the logits z of the model and z' of `predict` for all batches; infinite for NaN.

        Raises:
            MismatchError: if `predict` returns another shape.
        """
        worst = 0.0
        for inputs in self.batches:
            with torch.inference_mode():
                expected, found = self.model(inputs), predict(inputs)
            if expected.shape != found.shape:
                raise MismatchError(
                    f"the export returns logits of shape {list(found.shape)} for inputs of shape "
                    f"{describe_shapes(shapes_of(inputs, axis=0))}, and the model {list(expected.shape)}."
                )
            worst = max(worst, largest_difference(expected, found))
        return worst


def read_student(
    run: Run,
    data: Data | str | Sequence[Any] | DataConfig | None,
    *,
    tolerance: float,
    trust: bool = False,
    network: nn.Module | str | None = None,
) -> Student:
    """Read the model of a complete run and a few test samples, and compare it with the predictions of the run.

    Raises:
        RunError: if the run is not complete, or is damaged.
        MismatchError: if the run combines several models, its inputs or classes are not those of the data, or the
            rebuilt model is not the trained one.
    """
    run.require_complete()
    if run.config["model"]["name"] in (ENSEMBLE, SPECIALISTS):
        raise MismatchError(
            f"'{run.path}' combines several models and has no weights of its own; distil it into one model, or export "
            "one of its members."
        )
    at_hand = network_of(run) if network is None else network
    model = load_model(run, trust=trust, network=at_hand)
    described = read_description(run).model_dump(exclude={"checksum"})
    if network is None and described["needs_network"]:  # if not, the comparison shows that its class rebuilds it
        network = at_hand
    data = read_run_data(run, data, splits=("test",), trust=trust)
    samples = data.test
    _refuse_other_data(run, described, data, model.reader.collect(samples.source.shape))
    recorded = compare_with_recorded(run, model, data, tolerance)
    # other programs resize images with other arithmetic, so a graph begins behind the reader, which the header names
    reader = model.reader
    model = Normalised(model.network, model.mean, model.std, reader.in_graph, model.mean_and_std()).eval()
    batches, any_length = _choose_batches(model, reader, samples)
    if isinstance(model.network, CausalLM | TransformersClassifier):
        described["transformers"] = model.network.model.config.to_dict()  # so that loading needs no other folder
        described["transformers"].pop("_name_or_path", None)  # a path of this machine
    if samples.source.input_names and are_packed(samples.source.input_names):  # an export takes a text per row
        described |= {"input_shape": as_lists(shapes_of(batches[0])), "dtype": _dtype_of(batches[0])}
    shape = as_lists(shapes_of(batches[0]))
    dtype = _dtype_of(batches[0])
    feeding = describe_feeding(run, model, reader, shape, samples.input_shape, dtype)
    header = {
        "format": EXPORT_FORMAT,
        "instar": package_version(),
        "model": described,
        "inputs": {"dtype": dtype, "shape": shape, "any_length": any_length, **feeding},
    }
    return Student(run, model, header, batches, data, trust, network, recorded)


def _choose_batches(model: Normalised, reader: Reader, samples: Samples) -> tuple[tuple[Inputs, ...], bool]:
    """Return inputs to compare an export on, and whether the model takes any number of positions."""
    # a test split of fewer samples gives some of them twice
    ids = samples.ids[torch.arange(sum(COMPARED_BATCH_SIZES)) % len(samples)]
    chosen = reader.feed(reader.collect(lambda column: samples.source.take(column, ids)))
    if not isinstance(chosen, Tensor) and are_packed(chosen):
        chosen = chosen[PACKED_INPUTS[0]]  # a window is as good a text as any
    batches, positions = tuple(split_rows(chosen, COMPARED_BATCH_SIZES)), samples.source.positions or 1
    if isinstance(reader, TextReader) or samples.source.lengths is not None:
        positions = list_tensors(chosen)[0].shape[1]
    if positions > 1:
        # a length that the exporter has not seen, which shows whether it has fixed the number of positions
        shorter = _shorten(change_tensors(lambda tensor: tensor[: COMPARED_BATCH_SIZES[0]], chosen), positions // 2)
        if _accepts_length(model, shorter):
            return (*batches, shorter), True
    return batches, False


def _shorten(inputs: Inputs, positions: int) -> Inputs:
    cut = change_tensors(lambda tensor: tensor[:, :positions], inputs)
    if not isinstance(cut, Mapping) or WORD_STARTS not in cut:
        return cut
    starts = cut[WORD_STARTS]  # of words that are left; one word fewer, so that its axis has another length too
    return {**cut, WORD_STARTS: starts.clamp(max=positions - 1)[:, : max(1, starts.shape[1] - 1)]}


def _dtype_of(inputs: Inputs) -> str | dict[str, str]:
    return map_tensors(lambda tensor: str(tensor.dtype).removeprefix("torch."), inputs)


def _refuse_other_data(run: Run, described: Mapping[str, Any], data: Data, shapes: Shapes) -> None:
    if as_lists(shapes) != described["input_shape"] or list(data.classes) != described["classes"]:
        raise MismatchError(
            f"'{run.path}' takes inputs of shape {described['input_shape']} for {len(described['classes'])} classes, "
            f"but the data have {as_lists(shapes)} and {len(data.classes)} classes, or other class names."
        )


def _accepts_length(model: nn.Module, inputs: Inputs) -> bool:
    try:
        with torch.inference_mode():
            of_words = inputs.get(WORD_STARTS) if isinstance(inputs, Mapping) else None
            logits, first = model(inputs), list_tensors(inputs)[0] if of_words is None else of_words
            axes = logits.dim() - 1  # [batch] of whole samples, or [batch, position]
            return bool(logits.shape[:axes] == first.shape[:axes])
    except (RuntimeError, ValueError, IndexError):  # layers of a fixed length
        return False
