"""Sources of input and label arrays, given in Python or read from the columns of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.array_inputs import read_inputs
from instar.data.array_values import columns_of
from instar.data.source import Source
from instar.errors import DataError
from instar.tasks.next_token import NextToken

_AXES = {"HWC": ", axes read as height, width, channels", "HW": ", axes read as height, width"}


def make_array_sources(
    inputs: Mapping[str, Any], labels: Mapping[str, NDArray[np.int64]], classes: tuple[str, ...], config: DataConfig
) -> dict[str, Source]:
    """Return a source for each split.

    Args:
        inputs: inputs of every split by its name, `[samples, ...]`.
        labels: class numbers of the labelled splits, `[samples]` or `[samples, position]`.
        classes: class names.
        config: its `inputs` and `layout` choose how inputs are read.

    Raises:
        DataError: when inputs have no or several interpretations, or labels do not fit them.

    >>> inputs, labels = {"train": [[0.5], [1.5]]}, {"train": np.array([1, 0])}
    >>> make_array_sources(inputs, labels, ("a", "b"), DataConfig(source="arrays"))["train"].reading
    'numbers'
    """
    # a column of labels, as of a data frame, has one label per sample
    labels = {name: found[:, 0] if found.shape[1:] == (1,) else found for name, found in labels.items()}
    shapes = {found.shape[1:] for found in labels.values()}
    if len(shapes) > 1:
        told = " and ".join(f"{list(found.shape)} in '{name}'" for name, found in labels.items())
        raise DataError(f"labels must have the same shape in all splits, got {told}.")
    shape = shapes.pop() if shapes else ()  # (), or (positions,)
    copies, kind, order = read_inputs(inputs, shape[0] if shape else None, config)
    # only what differs from numbers with unchanged axes, as runs from before readings were recorded read arrays
    settings = ({} if kind == "numbers" else {"inputs": kind}) | ({"layout": order} if order in _AXES else {})
    sources = {}
    for name, copied in copies.items():
        here = labels.get(name, np.full((len(copied.inputs), *shape), UNLABELLED))
        _refuse_unfit(name, copied.inputs, here, classes, config)
        sources[name] = Source(
            name,
            copied.inputs,
            torch.from_numpy(here),
            classes,
            given=copied.exact,
            reading=kind + _AXES.get(order or "", ""),
            settings=settings,
            feature_names=columns_of(inputs[name]),
        )
    if shape and _are_next_tokens(sources.values()):
        return {name: replace(source, task=NextToken()) for name, source in sources.items()}
    return sources


def _are_next_tokens(sources: Iterable[Source]) -> bool:
    # every label is the token at the position after it; tags, which are labels of another kind, have no perplexity
    matches = []
    for source in sources:
        if source.inputs.dtype != torch.int64 or not all(name.isdecimal() for name in source.classes):
            return False
        labels, following = source.labels[:, :-1], source.inputs[:, 1:]  # nothing follows the last position
        numbers = torch.tensor([int(name) for name in source.classes])
        matches.append((numbers[labels] == following)[labels != UNLABELLED])
    found = torch.cat(matches)
    return found.numel() > 0 and bool(found.all())


def _refuse_unfit(
    name: str, inputs: Tensor, labels: NDArray[np.int64], classes: tuple[str, ...], config: DataConfig
) -> None:
    if len(inputs) != len(labels) or labels.ndim == 1:
        return  # Source reports a wrong number of labels
    looks_one_hot = labels.shape[1] > 1 and len(classes) == 2 and (labels.sum(1) == 1).all()
    if looks_one_hot and config.labels != "classes":
        raise DataError(
            f"labels of '{name}' have shape {list(labels.shape)} with a single one in each row, like one-hot labels. "
            "Give class numbers, as labels.argmax(1); or set data.labels=classes if each position has a label."
        )
    has_positions = inputs.dim() > 2 or inputs.dtype == torch.int64  # [samples, position, ...], or tokens
    if labels.ndim > 2 or not has_positions or inputs.shape[1] != labels.shape[1]:
        raise DataError(
            f"expected one label per sample, or one per position of inputs [samples, position, ...]; labels of "
            f"'{name}' have shape {list(labels.shape)}, and inputs {list(inputs.shape)}."
        )
