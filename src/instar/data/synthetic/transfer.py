"""Rows without labels beside the training samples, for a teacher to label: a transfer set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.columns.cell_rows import CellRows
from instar.data.columns.held import NUMBERS, Held
from instar.data.columns.schema import Schema, TableColumn
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.synthetic.generator import FittedGenerator, RowGenerator
from instar.data.synthetic.joining import join_rows
from instar.data.synthetic.notation import parse_generator
from instar.errors import ConfigError, MismatchError

ROWS_PER_TRAINING_ROW = 10
"""Rows that a generator makes for each training row, if their number is not given."""

MAX_NUMBERS = 1024
"""Numbers of a sample up to which they are taken for columns; rows of larger pictures would not fit in memory."""


def refuse_transfer_settings(config: DataConfig) -> None:
    """Refuse settings of a transfer set that have no effect, or that contradict others.

    Raises:
        ConfigError: names the setting.
    """
    if config.transfer is None:
        usual = DataConfig(source=config.source)
        for name in ("transfer_rows", "transfer_seed", "transfer_alone"):
            if getattr(config, name) != getattr(usual, name):
                raise ConfigError(f"'data.{name}' needs data.transfer, which says what makes the rows; got none.")
    elif config.special_classes:
        raise ConfigError("manufactured rows have no class, so 'data.special_classes' and 'data.transfer' exclude "
                          "each other; leave one of the two out.")  # fmt: skip


def add_transfer_rows(config: DataConfig, train: Samples, validation: Samples | None) -> tuple[Samples, Samples | None]:
    """Return training samples with unlabelled rows that are made from them, and the same validation samples.

    Samples keep their ids, and the new rows have the ids that follow. They belong to no class and to no other split.

    Args:
        config: its `transfer` says what makes the rows. What may not be imported has been refused before.
        train: training samples; the generator sees these alone.
        validation: validation samples, which may be of the same source.

    Raises:
        ConfigError: when a setting is impossible.
        MismatchError: when the samples are neither rows of a table nor arrays of numbers.
    """
    generator = parse_generator(str(config.transfer), trust=True)
    old = train.source
    fitted = generator.fit(rows_of(train, generator))
    count = _count_rows(config, train, fitted)
    source = _extend(old, list(fitted.parts(0, count, config.transfer_seed)), f"{count:,} rows of {generator}")
    new = Samples(source, torch.arange(len(old), len(source)))
    if validation is not None and validation.source is old:
        validation = replace(validation, source=source)
    if config.transfer_alone:
        return new, validation
    labels = None if train.own_labels is None else torch.cat([train.own_labels, new.labels])
    return replace(train, source=source, ids=torch.cat([train.ids, new.ids]), own_labels=labels), validation


def _count_rows(config: DataConfig, train: Samples, fitted: FittedGenerator) -> int:
    if config.transfer_rows is None:
        return fitted.limit or ROWS_PER_TRAINING_ROW * len(train)
    if fitted.limit is not None and config.transfer_rows > fitted.limit:
        raise ConfigError(
            f"'data.transfer_rows' must be at most the {fitted.limit:,} rows of '{config.transfer}', got "
            f"{config.transfer_rows}."
        )
    return config.transfer_rows


def rows_of(samples: Samples, generator: RowGenerator) -> CellRows:
    """Return samples as the rows of a table: their cells, or the numbers of an array as columns.

    Raises:
        MismatchError: when they are neither.

    >>> source = Source("two", torch.tensor([[0.5, 1.0], [2.5, 0.0]]), torch.tensor([0, 1]), ("a", "b"))
    >>> rows_of(Samples.all_of(source), parse_generator("munge")).values.tolist()
    [[0.5, 1.0], [2.5, 0.0]]
    """
    source = samples.source
    if problem := _find_problem(source):
        raise MismatchError(
            f"'{generator}' makes rows of tables or of arrays of numbers, and '{source.name}' has {problem}."
        )
    if source.table is not None:
        return source.table.take(samples.ids)
    numbers = source.inputs if source.given is None else source.given  # which are not rounded to float32
    values = numbers[samples.ids].flatten(1).double()
    names = source.feature_names or tuple(map(str, range(values.shape[1])))
    return CellRows(values, Schema(tuple(TableColumn(name, "number") for name in names)), name=source.name)


def _find_problem(source: Source) -> str | None:
    beside = {
        *source.columns.keys() - {NUMBERS, *source.input_names},
        *(() if source.weights is None else ("weights",)),
    }
    if source.positions is not None or source.lengths is not None:
        return "samples with positions or frames"
    if beside:
        return f"a column '{min(beside)}' beside its inputs, which new rows would lack"
    if source.table is not None:
        return "other inputs beside a table" if len(source.input_names) > 1 else None
    if source.input_names:
        return "inputs of another kind"
    if not source.inputs.is_floating_point() and source.inputs.dtype != torch.uint8:
        return "tokens"
    numbers = source.inputs[0].numel()
    return f"{numbers:,} numbers per sample (at most {MAX_NUMBERS:,} are columns)" if numbers > MAX_NUMBERS else None


def _extend(source: Source, parts: list[CellRows], told: str) -> Source:
    count = sum(map(len, parts))
    values: dict[str, Any] = {
        "labels": torch.cat([source.labels, source.labels.new_full((count,), UNLABELLED)]),
        "mask": None if source.mask is None else torch.cat([source.mask, source.mask.new_ones(count)]),
        "reading": ", ".join(filter(None, [source.reading, told])),
        "stored": None,
        "whole": source,  # from which another selection is made
    }
    if numbers := source.held.get(NUMBERS):
        missing = numbers.values.new_full((count, *numbers.shape), torch.nan)
        values["columns"] = {NUMBERS: Held(torch.cat([numbers.values, missing]))}
    if source.table is not None:
        joined = join_rows([source.table, *parts])
        values |= {
            "inputs": torch.arange(len(joined)),
            "columns": {**values.get("columns", {}), source.input_names[0]: joined},
        }
    else:
        new = torch.cat([part.values for part in parts]).view(count, *source.inputs.shape[1:])
        values["inputs"] = torch.cat([source.inputs, _convert(new, source.inputs)])
        values["given"] = None if source.given is None else torch.cat([source.given, _convert(new, source.given)])
    return replace(source, **values)


def _convert(values: Tensor, like: Tensor) -> Tensor:
    # a table of fractions cannot be pixels, and casting would cut them
    return (values if like.is_floating_point() else values.round()).to(like.dtype)
