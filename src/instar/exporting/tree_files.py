"""Exports of a file of trees, which are compared on rows at their thresholds and beside them, and need no data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.compute.inputs import Inputs
from instar.errors import ConfigError, RunError
from instar.exporting.decisions import Decisions, number_questions
from instar.exporting.recorded_predictions import largest_difference
from instar.exporting.student import Predict
from instar.exporting.to_c import write_tree_c
from instar.exporting.to_python import write_tree_python
from instar.exporting.to_rules import write_tree_rules
from instar.models.questions import ask_numbers
from instar.runs.run import EXPORT_HINT
from instar.trees.arrays import TreeArrays
from instar.trees.files import read_trees

COMPARED_ROWS = 1000
"""Rows on which an export is compared with its trees."""

WRITERS: dict[str, Callable[[Decisions, Sequence[str], Path], Predict]] = {
    "python": write_tree_python,
    "c": write_tree_c,
    "rules": write_tree_rules,
}
"""Formats of a file of trees: those that compare float64 numbers, as the trees do."""


class TreeFile(NamedTuple):
    """Trees of a file, and the function that writes them in a format and returns how to run what it wrote."""

    trees: TreeArrays
    write: Callable[[Path], Predict]


def names_trees(path: Any) -> bool:
    """Return whether a path is that of a file with the suffix of trees."""
    return isinstance(path, str | Path) and Path(path).suffix == ".safetensors" and Path(path).is_file()


def read_tree_file(path: str | Path, to: str) -> TreeFile:
    """Read a file of trees, to be written in a format.

    Raises:
        ConfigError: when the format does not hold float64 numbers.
        RunError: when the file holds no trees, or is damaged.
    """
    try:
        trees = read_trees(path)
    except RunError as error:  # the suffix is that of exported networks too
        raise RunError(f"{error} If it is an exported model: {EXPORT_HINT}") from None
    if to not in WRITERS:
        raise ConfigError(
            f"a file of trees compares float64 numbers, and is written as {', '.join(WRITERS)}; got the format {to}. "
            f"In Python, instar.trees.to_scikit_learn(instar.trees.read_trees('{path}')) makes an estimator of "
            "scikit-learn."
        )
    classes = [] if trees.meaning == "numbers" else name_classes(trees)
    found = number_questions(ask_numbers(trees))
    return TreeFile(trees, lambda to_path: WRITERS[to](found, classes, to_path))


def name_classes(trees: TreeArrays) -> list[str]:
    """Return the names of the classes of trees; numbers, where they have none."""
    return list(map(str, trees.classes or range(trees.outputs)))


def compare_at_thresholds(trees: TreeArrays, predict: Predict) -> float:
    """Return the largest difference of an output between trees and what was written, see `largest_difference`."""
    rows = make_rows(trees)
    expected = trees.predict(rows)
    if trees.meaning == "probabilities":
        with np.errstate(divide="ignore"):
            expected = np.log(expected)  # an export returns logits
    inputs: Inputs = torch.from_numpy(rows)
    found: Tensor = predict(inputs)
    return largest_difference(torch.from_numpy(expected).float(), found)


def make_rows(trees: TreeArrays) -> NDArray[np.float64]:
    """Return rows whose numbers are drawn from the thresholds of their column and the next larger float64 numbers.

    A tenth of the numbers is missing in half of the rows, where trees allow it.
    """
    draw = np.random.default_rng(0)
    rows = np.zeros((COMPARED_ROWS, trees.columns))
    for column in range(trees.columns):
        levels = np.unique(trees.open_thresholds[trees.features == column])
        if len(levels):
            with np.errstate(over="ignore"):
                above = np.nextafter(levels, np.inf)
            rows[:, column] = draw.choice(np.concatenate([levels, above]), len(rows))
    if trees.allows_missing:
        is_missing = draw.random(rows.shape) < 0.1
        rows[1::2][is_missing[1::2]] = np.nan
    return rows
