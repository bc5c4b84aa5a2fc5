"""New inputs for the model of a run that reads columns by name: one of several, or several."""

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
from instar.importing import names_an_import
from instar.models.readers.as_is import AsIs
from instar.models.readers.notation import parse_reader
from instar.runs.run import Run
from instar.stages.run_data import describe_model, run_classes


def find_columns(run: Run, *, trust: bool = False) -> dict[str, str]:
    """Return the columns that the model of a run reads, by the names of its shapes; {} for one of the inputs alone.

    Args:
        run: complete run.
        trust: allow the import of a reader of the user's.
    """
    described = describe_model(run)
    text, several = described.get("reader") or str(AsIs()), isinstance(described.get("input_shape"), dict)
    if not several and names_an_import(text) and not trust:  # such a reader mostly reads the inputs
        return {}
    found: str | dict[str, str] = parse_reader(text, trust=trust).collect(lambda column: column)
    if isinstance(found, dict):
        return found
    return {} if found == INPUTS else {found: found}


def read_named_inputs(run: Run, given: Any, *, trust: bool = False) -> Source:
    """Return new inputs of a run as a source without labels.

    Args:
        run: run whose model reads columns, see `find_columns`.
        given: arrays `[samples, ...]` by the names of the columns that the run read; others are left out. If it read
            only one of them, its array alone will do.
        trust: allow the import of a reader of the user's.

    Raises:
        MismatchError: when an input is missing, or has another shape or type than in the run.
        DataError: when an array cannot be read.
    """
    described = describe_model(run)
    # one argument of the network may have another name than its column
    columns, shape, dtype = find_columns(run, trust=trust), described["input_shape"], described["dtype"]
    by_name = shape if isinstance(shape, dict) else dict.fromkeys(columns, shape)
    of_type = dtype if isinstance(dtype, dict) else dict.fromkeys(columns, dtype)
    shapes: dict[str, Shape] = {column: tuple(by_name[name]) for name, column in columns.items()}
    dtypes = {column: of_type.get(name) for name, column in columns.items()}
    if len(columns) == 1 and not isinstance(given, Mapping | str | list | tuple):
        given = dict.fromkeys(shapes, given)
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
