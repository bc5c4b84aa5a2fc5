"""New inputs for the model of a run that takes several arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from instar.analysis.scores import UNLABELLED
from instar.compute.inputs import Shape, describe_shapes
from instar.config import DataConfig
from instar.data.any_source import ARRAYS_SOURCE
from instar.data.columns.held import INPUTS, Held
from instar.data.named_inputs import read_named
from instar.data.source import Source
from instar.errors import MismatchError
from instar.models.readers.notation import parse_reader
from instar.runs.run import Run
from instar.stages.run_data import describe_model, run_classes


def takes_several(run: Run) -> bool:
    """Return whether the model of a run takes several inputs by name."""
    return isinstance(describe_model(run).get("input_shape"), dict)


def read_named_inputs(run: Run, given: Any, *, trust: bool = False) -> Source:
    """Return new inputs of a run as a source without labels.

    Args:
        run: run whose model takes several inputs.
        given: arrays `[samples, ...]` by the names of the columns that the run read; others are left out.
        trust: allow the import of a reader of the user's.

    Raises:
        MismatchError: when an input is missing, or has another shape or type than in the run.
        DataError: when an array cannot be read.
    """
    described = describe_model(run)
    # one argument of the network may have another name than its column
    columns: dict[str, str] = parse_reader(described["reader"], trust=trust).collect(lambda column: column)
    shapes: dict[str, Shape] = {column: tuple(described["input_shape"][name]) for name, column in columns.items()}
    dtypes = {column: (described["dtype"] or {}).get(name) for name, column in columns.items()}
    expected = f"'{run.path}' takes arrays by name, {describe_shapes(shapes)} per sample"
    if not isinstance(given, Mapping):
        raise MismatchError(f"{expected}; give a mapping, with instar.predict in Python.")
    if missing := [column for column in shapes if column not in given]:
        raise MismatchError(f"{expected}; '{missing[0]}' is missing, found: {', '.join(map(str, given))}.")
    reading = DataConfig(source=ARRAYS_SOURCE, layout=run.config["data"].get("layout"))
    found = {column: read_named(column, {"inputs": given[column]}, reading)["inputs"] for column in shapes}
    for column, values in found.items():
        dtype = str(values.dtype).removeprefix("torch.")
        if tuple(values.shape[1:]) != shapes[column] or dtype != (dtypes[column] or dtype):
            raise MismatchError(
                f"{expected}; '{column}' has shape {list(values.shape[1:])} and type {dtype}, and the run "
                f"{list(shapes[column])} and {dtypes[column]}."
            )
    (first, inputs), *beside = found.items()
    return Source(
        "new inputs",
        inputs,
        torch.full((len(inputs),), UNLABELLED),
        run_classes(run),
        columns={column: Held(values) for column, values in beside},
        input_names=() if first == INPUTS else tuple(found),
    )
