"""Rows of several tables as one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from instar.data.columns.cell_rows import CellRows
from instar.data.columns.schema import Schema


def join_rows(tables: Sequence[CellRows]) -> CellRows:
    """Return the rows of tables with the same columns, in the order and under the name of the first.

    >>> from instar.data.columns.schema import TableColumn
    >>> some, more = (Schema((TableColumn("plan", "word", words),)) for words in (("basic", "pro"), ("gold", "pro")))
    >>> table = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    >>> found = join_rows([CellRows(table, some), CellRows(table, more)])
    >>> found.values.flatten().tolist(), found.schema.columns[0].categories
    ([0.0, 2.0, 1.0, 2.0], ('basic', 'gold', 'pro'))
    """
    first, *others = tables
    schema = first.schema
    for other in others:
        schema = _join(schema, other.schema)
    values = torch.cat([table.recode(schema) for table in tables])
    given = None if any(table.given is None for table in tables) else _join_frames([one.as_frame() for one in tables])
    return replace(first, values=values, schema=schema, given=given)


def _join(one: Schema, other: Schema) -> Schema:
    columns = []
    for column in one:
        theirs = other.columns[other.names.index(column.name)]
        if column.kind == "word" and theirs.categories != column.categories:
            columns.append(replace(column, categories=tuple(sorted({*column.categories, *theirs.categories}))))
        else:
            columns.append(column)
    return Schema(tuple(columns))


def _join_frames(frames: Sequence[Any]) -> Any:
    import pandas

    # by place, because a name may be a number in one of them
    named = [frame.set_axis(frames[0].columns, axis=1) for frame in frames]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about columns without values, which have no type
        return pandas.concat(named, ignore_index=True)
