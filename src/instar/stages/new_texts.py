"""New texts for the model of a run that reads texts."""

from __future__ import annotations

import math
import os
from typing import Any

import torch

from instar.analysis.scores import UNLABELLED
from instar.data.columns.texts import TEXT, TEXT_PAIR, Texts
from instar.data.source import Source
from instar.errors import MismatchError
from instar.runs.run import Run
from instar.stages.run_data import describe_model, run_classes


def takes_texts(run: Run) -> bool:
    """Return whether the model of a run reads texts."""
    return number_of_texts(run) > 0


def number_of_texts(run: Run) -> int:
    """Return how many texts a sample of a run is: 1, 2 for pairs, and 0 for other inputs."""
    dtype = describe_model(run).get("dtype")
    types = list(dtype.values()) if isinstance(dtype, dict) else [dtype]
    return len(types) if types and all(one == "text" for one in types) else 0


def read_new_texts(run: Run, given: Any) -> Source:
    """Return texts as a source without labels.

    Args:
        run: run whose model reads texts, or pairs of texts.
        given: a text or a list of texts, in which None and NaN are missing, that is empty; a list of pairs, or pairs
            as `{"text": [...], "text_pair": [...]}`.

    Raises:
        MismatchError: when the inputs are something else.
    """
    number = number_of_texts(run)
    names = (TEXT, TEXT_PAIR)[:number]
    expected = f"'{run.path}' takes {'texts' if number == 1 else 'pairs of texts'}"
    columns = [["" if _is_missing(one) else one for one in column] for column in _columns(given, names)]
    lengths = {len(column) for column in columns}
    if len(columns) != number or len(lengths) != 1 or not all(isinstance(one, str) for each in columns for one in each):
        form = "a list of strings" if number == 1 else "a list of pairs of strings"
        raise MismatchError(f"{expected}; give {form}, got {type(given).__name__}.")
    if names_a_file := next((one for each in columns for one in each if os.path.isfile(one)), None):
        raise MismatchError(f"{expected}, and '{names_a_file}' is a file; give only texts, or one file of them.")
    if (folders := [one for each in columns for one in each]) and all(map(os.path.isdir, folders)):
        raise MismatchError(f"{expected}, and '{folders[0]}' is a folder; give a file of it, or the texts.")
    size = lengths.pop()
    return Source(
        "new inputs",
        torch.arange(size),
        torch.full((size,), UNLABELLED),
        run_classes(run),
        columns={name: Texts.of(column, "new inputs") for name, column in zip(names, columns, strict=True)},
        input_names=names,
    )


def _is_missing(text: Any) -> bool:
    return text is None or (isinstance(text, float) and math.isnan(text))  # in columns of pandas


def _columns(given: Any, names: tuple[str, ...]) -> list[list[Any]]:
    if isinstance(given, dict):
        return [list(given[name]) for name in names if name in given]
    items = [given] if isinstance(given, str) else list(given) if hasattr(given, "__iter__") else []
    if len(names) == 1:
        return [items]
    if len(items) == len(names) and all(isinstance(one, str) for one in items):  # a single pair
        items = [tuple(items)]
    pairs = [tuple(one) if isinstance(one, list | tuple) else (one,) for one in items]
    return [list(column) for column in zip(*pairs, strict=True)] if {len(one) for one in pairs} == {len(names)} else []
