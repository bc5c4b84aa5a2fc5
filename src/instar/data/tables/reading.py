"""Reading of the tables of all splits as cells, with the same columns and types in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from instar.config import DataConfig
from instar.data.columns.cell_rows import CellRows, refuse_numbers_for_codes
from instar.data.columns.schema import CellKind, Schema, TableColumn
from instar.data.tables.kinds import find_kind, holds_numbers, is_text, refuse_doubtful, simplify
from instar.data.tables.text_kinds import Column, parse_text
from instar.data.tables.values import Values, read_quantities, read_words
from instar.errors import DataError, MismatchError, nearest


def read_tables(
    tables: Mapping[str, Any],
    config: DataConfig,
    *,
    kinds: Mapping[str, CellKind] | None = None,
    frames: Mapping[str, Any] | None = None,
) -> dict[str, CellRows]:
    """Return the cells of all splits.

    Args:
        tables: tables of Arrow by the name of the split, without labels; the columns may have another order.
        config: its `leave_out` names columns that are no inputs, and `column_types` the types of some.
        kinds: types of columns, as a model knows them; those of others are found in the data.
        frames: data frames of pandas that the tables were made of; None: the tables are what was given.

    Raises:
        DataError: when a column is missing in a split, or its values have no or several types.

    >>> import pyarrow
    >>> table = pyarrow.table({"plan": ["pro", None], "age": [31.5, 40.0]})
    >>> rows = read_tables({"train": table}, DataConfig(source="arrays"))["train"]
    >>> rows.values.tolist(), rows.schema.describe()
    ([[0.0, 31.5], [nan, 40.0]], '1 number, 1 word')
    """
    names = _choose_columns(tables, config)
    chosen: dict[str, CellKind] = {**config.column_types, **(kinds or {})}
    found: dict[str, list[tuple[TableColumn, Values]]] = {split: [] for split in tables}
    for name in names:
        given = {split: table.column(name) for split, table in tables.items()}
        for split, read in _read_column(name, given, config.source, chosen.get(name)).items():
            found[split].append(read)
    return {
        split: CellRows(
            torch.from_numpy(np.stack([values for _, values in columns], 1)),
            Schema(tuple(column for column, _ in columns)),
            _choose(frames[split], names) if frames else tables[split].select(names),
            name=split,
        )
        for split, columns in found.items()
    }


def read_known_columns(table: Any, schema: Schema, name: str) -> CellRows:
    """Return the columns of a schema in a table of Arrow, with their types; others are left out.

    Raises:
        MismatchError: when a column is missing.
        DataError: when a column holds another type.
    """
    for wanted in schema:
        if wanted.name not in table.column_names:
            raise MismatchError(
                f"'{name}' has no column '{wanted.name}', which the model reads; "
                f"{nearest(wanted.name, table.column_names)}"
            )
        if wanted.kind == "word" and holds_numbers(table.column(wanted.name)):
            refuse_numbers_for_codes(wanted, name)
    kinds = {one.name: one.kind for one in schema}
    return read_tables({name: table.select(list(schema.names))}, DataConfig(source=name), kinds=kinds)[name]


def _choose(frame: Any, names: Sequence[str]) -> Any:
    # by place, because a data frame may call a column 3, which is "3" elsewhere
    places = {str(name): place for place, name in enumerate(frame.columns)}
    return frame.iloc[:, [places[name] for name in names]]


def _choose_columns(tables: Mapping[str, Any], config: DataConfig) -> list[str]:
    (first, table), *others = tables.items()
    known = table.column_names
    for setting, names in (("leave_out", config.leave_out), ("column_types", config.column_types)):
        for name in names:
            if name in config.columns and setting == "leave_out":  # kept beside the inputs, and no input
                continue
            if name in (config.label_column, *config.columns):
                what = "the label" if name == config.label_column else "kept beside the inputs by data.columns"
                raise DataError(f"data.{setting} names '{name}', which is {what}, and no column of the table's inputs.")
            if name not in known:
                raise DataError(f"data.{setting} names '{name}', which '{first}' does not have; {nearest(name, known)}")
    left = [name for name in known if name not in config.leave_out]
    if not left:
        raise DataError(f"'{first}' has no column beside the label and those that are left out.")
    for split, other in others:
        odd = set(left) ^ (set(other.column_names) - set(config.leave_out))
        if odd:
            name = min(odd)
            has, lacks = (first, split) if name in left else (split, first)
            raise DataError(
                f"tables must have the same columns in all splits; '{has}' has '{name}', and '{lacks}' does not. Add "
                f"it, or leave it out with data.leave_out=['{name}']."
            )
    return left


def _read_column(
    name: str, given: Mapping[str, Column], source: str, chosen: CellKind | None
) -> dict[str, tuple[TableColumn, Values]]:
    where = f"column '{name}' of '{source}'"
    columns = {split: simplify(column, where) for split, column in given.items()}
    kind = chosen or find_kind(columns, where, name)
    if kind not in ("word", "empty"):
        columns = {split: parse_text(one, kind, where) if is_text(one) else one for split, one in columns.items()}
    if chosen is None:
        refuse_doubtful(list(columns.values()), kind, where, name)
    found: dict[str, tuple[TableColumn, Values]] = {}
    for split, column in columns.items():
        told = f"column '{name}' of '{split}'"
        if kind == "word":
            codes, categories = read_words(column, told)
            found[split] = TableColumn(name, kind, categories), codes
        else:
            numbers, has_zone = read_quantities(column, kind, told)
            found[split] = TableColumn(name, kind, has_zone=has_zone), numbers
    if kind == "date":
        _refuse_mixed_zones(found, columns)
    return found


def _refuse_mixed_zones(found: dict[str, tuple[TableColumn, Values]], columns: Mapping[str, Column]) -> None:
    # a split without dates has no zone of its own
    known = {split: found[split][0] for split, column in columns.items() if column.null_count < len(column)}
    zones: Sequence[bool] = sorted({column.has_zone for column in known.values()})
    if len(zones) > 1:
        told = " and ".join(f"'{split}' {'with' if one.has_zone else 'without'} one" for split, one in known.items())
        raise DataError(f"column '{next(iter(known.values())).name}' has dates with and without a time zone: {told}.")
    for split, (column, numbers) in list(found.items()):
        if zones and column.has_zone != zones[0]:
            found[split] = TableColumn(column.name, column.kind, has_zone=zones[0]), numbers
