"""What the sections of a report read: the runs and, on demand, their predictions, examples and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from instar.errors import RunError
from instar.reporting.groups import Group, make_groups
from instar.runs.documents import CostFile
from instar.runs.predictions import PREDICTIONS_FILE, read_predictions
from instar.runs.rows import RunRow
from instar.runs.run import Run
from instar.tasks.metrics import ERROR, ERRORS, NLL

Array = NDArray[Any]
T = TypeVar("T")

COST_FILE, EXAMPLES_FILE, LAYERS_FILE = "cost.json", "examples.safetensors", "layers.safetensors"
TREE_FILE, COLUMNS_FILE = "tree.safetensors", "columns.safetensors"


@dataclass(frozen=True)
class JudgedPredictions:
    """Predictions of a run for the labelled test samples, `[samples]` each.

    Args:
        ids: ids of the samples.
        labels: class numbers.
        predicted: likeliest class.
        confidence: probability of the likeliest class.
        nll: -log p_label in nats.
    """

    ids: Array
    labels: Array
    predicted: Array
    confidence: Array
    nll: Array

    @property
    def right(self) -> Array:
        """Whether the predicted class is the label, bool."""
        found: Array = self.predicted == self.labels
        return found

    @property
    def wrong(self) -> Array:
        """Whether the predicted class is not the label, bool."""
        return ~self.right


SAMPLE_ATTRIBUTES = {ERRORS.name: "wrong", ERROR.name: "wrong", NLL.name: "nll"}
"""Attributes of `JudgedPredictions` by the metric that is their mean or sum over samples."""


class Runs:
    """All runs of a report. A file that cannot be read does not stop it; `problems` names it.

    Args:
        rows: the runs.
    """

    def __init__(self, rows: Sequence[RunRow]) -> None:
        self.rows = rows
        self.complete = [row for row in rows if row.state == "complete"]
        self.problems: dict[str, str] = {}
        self._opened: dict[str, Run] = {}
        self._predictions: dict[str, JudgedPredictions | None] = {}
        self._examples: dict[str, Mapping[str, Array]] = {}

    @cached_property
    def groups(self) -> list[Group]:
        """Groups of complete runs that differ only in their seed."""
        return make_groups(self.rows)

    def predictions(self, row: RunRow) -> JudgedPredictions | None:
        """Return the test predictions of a run; None without logits of classes, with positions, or if damaged."""
        if row.name not in self._predictions:
            self._predictions[row.name] = self._try(row, lambda: _score(self._read_predictions(row)), None)
        return self._predictions[row.name]

    def logits(self, row: RunRow, ids: Array, positions: Array | None = None) -> Array | None:
        """Return a run's logits for test samples, or for one position of each, float64 `[n, classes]`.

        None if the run does not have all of them.
        """
        kept = self.examples(row)
        if "shown.student" in kept:  # with many classes, a run keeps only the logits of the shown samples
            # in their order, of which a report may ask for the first few
            requested = {"ids": ids} | ({} if positions is None else {"positions": positions})
            same = all(np.array_equal(kept[f"shown.{name}"][: len(ids)], wanted) for name, wanted in requested.items())
            return kept["shown.student"][: len(ids)].astype(float) if same else None
        found: Mapping[str, Array] = self._try(row, lambda: self._read_predictions(row), {})
        if "test.logits" not in found or found["test.logits"].ndim != (2 if positions is None else 3):
            return None
        # searchsorted needs ascending ids
        order = np.argsort(found["test.ids"])
        known = found["test.ids"][order]
        places = np.searchsorted(known, ids).clip(max=len(known) - 1)  # an unknown id fails the comparison below
        if not np.array_equal(known[places], ids):
            return None
        index = (order[places],) if positions is None else (order[places], positions)
        logits: Array = found["test.logits"][index].astype(float)
        return logits

    def examples(self, row: RunRow) -> Mapping[str, Array]:
        """Return the examples of a run and its teacher by name; empty if it has no teacher or an older format."""
        if row.name not in self._examples:
            found: Mapping[str, Array] = {}
            if (row.folder / EXAMPLES_FILE).exists():  # a missing file is no problem, a damaged one is
                found = self._try(row, lambda: _arrays(self._open(row).tensors(EXAMPLES_FILE)[0]), {})
            self._examples[row.name] = found
        return self._examples[row.name]

    def layers(self, row: RunRow) -> tuple[Mapping[str, Array], Mapping[str, Any]]:
        """Return what a run recorded of hidden layers, and their names; empty if no term compared some."""
        return self._recorded(row, LAYERS_FILE)

    def tree(self, row: RunRow) -> tuple[Mapping[str, Array], Mapping[str, Any]]:
        """Return the nodes of a tree, and their questions; empty if the model is none."""
        return self._recorded(row, TREE_FILE)

    def numbers(self, row: RunRow) -> Mapping[str, Array]:
        """Return `test.numbers`, `test.logits` and more of a run whose labels are numbers; empty for other runs."""
        nothing: Mapping[str, Array] = {}
        found = self._try(row, lambda: self._read_predictions(row), nothing)
        is_whole = "test.numbers" in found and "test.logits" in found and found["test.logits"].ndim == 2
        return found if is_whole else nothing

    def effects(self, row: RunRow) -> tuple[Mapping[str, Array], Mapping[str, Any]]:
        """Return what columns of a table do to student and teacher; empty for other data."""
        return self._recorded(row, COLUMNS_FILE)

    def _recorded(self, row: RunRow, name: str) -> tuple[Mapping[str, Array], Mapping[str, Any]]:
        if not (row.folder / name).exists():
            return {}, {}

        def read() -> tuple[Mapping[str, Array], Mapping[str, Any]]:
            tensors, header = self._open(row).tensors(name)
            return _arrays(tensors), header

        nothing: tuple[Mapping[str, Array], Mapping[str, Any]] = ({}, {})
        return self._try(row, read, nothing)

    def cost(self, row: RunRow) -> Mapping[str, Any]:
        """Return the measured cost of a prediction; empty if it was not measured."""
        if not (row.folder / COST_FILE).exists():
            return {}
        return self._try(
            row, lambda: self._open(row).document(COST_FILE, CostFile).model_dump(exclude={"checksum"}), {}
        )

    def classes(self, row: RunRow, number: int) -> list[str]:
        """Return the names of `number` classes, or their numbers if the run has no names."""
        try:
            run = self._open(row)
            # combinations have no model.json; with many classes there are no errors per class
            names = list(run.metrics.get("class_errors") or run.classes)
        except RunError:
            names = []
        return [str(name) for name in names] if len(names) == number else [str(place) for place in range(number)]

    def _open(self, row: RunRow) -> Run:
        if row.name not in self._opened:
            self._opened[row.name] = Run(row.folder)
        return self._opened[row.name]

    def _read_predictions(self, row: RunRow) -> Mapping[str, Array]:
        return _arrays(read_predictions(self._open(row))) if (row.folder / PREDICTIONS_FILE).exists() else {}

    def _try(self, row: RunRow, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        # all that damaged or edited files may raise: one of them must not cost the whole report
        except (RunError, OSError, ValueError, LookupError, TypeError) as error:
            reason = str(error).replace(f"{row.folder}/", "").rstrip(".")
            self.problems[row.name] = f"Some figures are left out: {reason}."
            return otherwise


def log_softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Return log softmax(v / T) along the last axis, float64.

    >>> np.exp(log_softmax(np.array([0.0, 0.0]), 4)).tolist()
    [0.5, 0.5]
    """
    scaled = logits.astype(float) / temperature
    scaled -= scaled.max(-1, keepdims=True)  # exp would overflow
    scaled -= np.log(np.exp(scaled).sum(-1, keepdims=True))
    return scaled


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _score(found: Mapping[str, Array]) -> JudgedPredictions | None:
    # a number is no class, which would be right everywhere
    if "test.logits" not in found or found["test.logits"].ndim != 2 or "test.numbers" in found:
        return None
    labels, logits = found["test.labels"], found["test.logits"]
    known = labels >= 0
    ids, labels, log_p = found["test.ids"][known], labels[known], log_softmax(logits[known])
    predicted = log_p.argmax(1)
    every = np.arange(len(labels))
    return JudgedPredictions(ids, labels, predicted, np.exp(log_p[every, predicted]), -log_p[every, labels])
