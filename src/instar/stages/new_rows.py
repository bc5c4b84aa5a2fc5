"""New rows for the model of a run that reads a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from instar.analysis.scores import UNLABELLED
from instar.data.columns.cell_rows import CELLS
from instar.data.opening import is_table_file, open_data
from instar.data.source import Source
from instar.data.tables.sources import read_named_classes
from instar.errors import MismatchError
from instar.models.readers.cells import Cells
from instar.models.readers.notation import parse_reader
from instar.models.readers.saved import read_description
from instar.runs.run import Run
from instar.stages.run_data import describe_model, run_classes


def takes_rows(run: Run) -> bool:
    """Return whether the model of a run, or those of an ensemble, read the rows of a table."""
    return bool(describe_model(run).get("dtype") == CELLS)


def read_new_rows(run: Run, given: Any) -> Source:
    """Return rows as a source without labels; columns that the model does not read are left out.

    Args:
        run: run whose model reads a table.
        given: a data frame of any library, or a CSV, JSON or Parquet file.

    Raises:
        MismatchError: when it is neither, or lacks a column that the model reads.
        DataError: when the file cannot be read, or a column holds another type than in training.
    """
    reader = _reader_of(run)
    columns = [one["name"] for one in reader.list_columns()]
    table, name = _open(given, columns) if isinstance(given, str | os.PathLike | list | tuple) else (given, "new rows")
    cells = reader.read_frame(table, name)
    return Source(
        name,
        torch.arange(len(cells)),
        torch.full((len(cells),), UNLABELLED),
        run_classes(run),
        columns={CELLS: cells},
        input_names=(CELLS,),
    )


def _open(given: Any, columns: list[str]) -> tuple[Any, str]:
    files = [given] if isinstance(given, str | os.PathLike) else list(given)
    if len(files) != 1 or not isinstance(files[0], str | os.PathLike) or not is_table_file(str(files[0])):
        raise MismatchError(
            f"a model of a table predicts the rows of a data frame, or of one CSV, JSON or Parquet file; got "
            f"{', '.join(map(str, files)):.200}."
        )
    name = str(files[0])
    return read_named_classes(open_data(name, needs_test=False, as_text=columns)["train"]), Path(name).name


def _reader_of(run: Run) -> Cells:
    while not (run.path / "model.json").is_file():  # the members of an ensemble read the same table
        run = Run(run.members()[0])
    described = read_description(run)
    reader = parse_reader(described.reader).with_knowledge(described.knowledge or {})
    assert isinstance(reader, Cells), "no other reader reads cells"
    return reader
