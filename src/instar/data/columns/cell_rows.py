"""A column whose values are the rows of a table: numbers, words, booleans, dates, and missing values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from instar.data.columns.raw import RawColumn, RawRows
from instar.data.columns.schema import Schema, TableColumn
from instar.errors import DataError, say

CELLS = "cells"
"""Name of the column of a table's rows."""

_PADDED = re.compile(r"0[0-9]+$")  # a code, because no number has a zero in front

UNSEEN_CODE = -1.0
"""Value of a word that is no category of a schema."""


@dataclass(frozen=True, eq=False)
class CellRows(RawColumn):
    """The rows of a table, a number for each cell.

    Args:
        values: float64 `[rows, columns]`: numbers as they are; booleans as 0 and 1; dates in seconds since 1970-01-01
            UTC; words as numbers of sorted categories, from 0; NaN where a value is missing.
        schema: names, types and categories of the columns.
        given: the same rows as the data frame of pandas or the table of Arrow that they were read from; None: unknown.
        name: name of the table, for messages.

    >>> schema = Schema((TableColumn("age", "number"), TableColumn("plan", "word", ("basic", "pro"))))
    >>> rows = CellRows(torch.tensor([[30.0, 1.0], [torch.nan, 0.0]], dtype=torch.float64), schema)
    >>> rows.as_frame()["plan"].tolist(), len(rows.take(torch.tensor([1])))
    (['pro', 'basic'], 1)
    """

    values: Tensor
    schema: Schema
    given: Any = None
    name: str = "table"
    dtype: ClassVar[str] = "cells"
    noun: ClassVar[str] = "rows of a table"
    reader: ClassVar[str] = "Cells"

    def __len__(self) -> int:
        return len(self.values)

    def take(self, ids: Tensor) -> CellRows:
        """Return these rows; ids are int64 `[n]` on the CPU."""
        given = self.given
        if given is not None:
            given = given.iloc[ids.numpy()] if hasattr(given, "iloc") else given.take(ids.numpy())
        return replace(self, values=self.values.index_select(0, ids), given=given)

    def rows(self, ids: Tensor, on_host: Tensor, positions: int | None = None) -> SomeRows:
        """Return some rows, of which a reader has encoded all."""
        return SomeRows(self, ids, on_host)

    def show(self, ids: Tensor) -> list[str]:
        """Return the cells of each row with the names of their columns."""
        rows = self.as_frame(ids).itertuples(index=False, name=None)
        return [
            "; ".join(f"{name}: {value}" for name, value in zip(self.schema.names, row, strict=True)) for row in rows
        ]

    def describe(self) -> str:
        """Return how many columns there are of each type."""
        return f"of {self.schema.describe()}"

    def as_frame(self, ids: Tensor | None = None) -> Any:
        """Return rows as a data frame of pandas, with the names, order and types of the columns that were given.

        Args:
            ids: numbers of rows, int64 `[n]`; None: all.
        """
        return self._frame if ids is None else self._frame.iloc[ids.cpu().numpy()]

    @cached_property
    def _frame(self) -> Any:  # kept, because a pipeline that teaches reads it in every batch
        if self.given is None:
            return _make_frame(self.values, self.schema)
        return self.given if hasattr(self.given, "iloc") else self.given.to_pandas()

    def recode(self, schema: Schema) -> Tensor:
        """Return the values in the columns and categories of another schema, float64 `[rows, columns]`.

        Columns and categories are matched by name. A word that the schema does not have is `UNSEEN_CODE`.

        Raises:
            DataError: when a column is missing, holds another type, or has codes that lost their zeros.
        """
        if schema == self.schema:
            return self.values
        found = []
        for wanted in schema:
            place = self.schema.find(wanted.name, self.name)
            own, values = self.schema.columns[place], self.values[:, place]
            refuse_other_kind(own, wanted, self.name)
            refuse_lost_zeros(own, wanted, self.name)
            found.append(_recode_words(values, own, wanted) if own.kind == "word" else values)
        return torch.stack(found, 1)

    def fingerprint(self) -> str:
        """Return a hash of names, types, words and values; the order of categories does not matter."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # cached, because it reads all values, which never change
        digest = hashlib.blake2b(digest_size=16)
        for place, column in enumerate(self.schema):
            values, words = self.values[:, place], ()
            if column.kind == "word":  # of the words that these rows have, whatever others the schema lists
                codes = values[~values.isnan()].unique().long().tolist()
                words = tuple(column.categories[code] for code in codes)
                values = _recode_words(values, column, replace(column, categories=words))
            digest.update(json.dumps([column.name, column.kind, column.has_zone, words, len(values)]).encode())
            # one zero and one NaN, of which there are several
            same = torch.where(values.isnan(), torch.nan, values + 0.0)
            digest.update(same.contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class SomeRows(RawRows):
    """Some rows of a table."""

    column: CellRows


def refuse_other_kind(own: TableColumn, wanted: TableColumn, where: str) -> None:
    """Refuse a column that holds another type than a model or a split expects; a column without values fits all.

    Raises:
        DataError: names the column and both types.
    """
    if "empty" in (own.kind, wanted.kind):
        return
    if own.kind != wanted.kind:
        advice = f"convert it, or set data.column_types={{'{own.name}': '{wanted.kind}'}}"
        if own.kind == "number":
            refuse_numbers_for_codes(wanted, where)
        raise DataError(
            f"column '{own.name}' of '{where}' holds {own.kind}s, and {wanted.kind}s are expected; {advice}."
        )
    if own.has_zone != wanted.has_zone:
        told = ["without a time zone", "with a time zone"]
        raise DataError(
            f"column '{own.name}' of '{where}' has dates {told[own.has_zone]}, and dates {told[wanted.has_zone]} are "
            "expected; convert all of them to one."
        )


def refuse_lost_zeros(own: TableColumn, wanted: TableColumn, where: str) -> None:
    """Refuse words such as "10" where "010" is known: a program has read codes as numbers and written them so.

    Codes that never had a zero in front would match, and the others would be words that were never seen.

    Raises:
        DataError: names the column and a word of both.

    >>> refuse_lost_zeros(
    ...     TableColumn("zip", "word", ("10", "350")), TableColumn("zip", "word", ("010", "350")), "new.csv"
    ... )
    Traceback (most recent call last):
        ...
    instar.errors.DataError: column 'zip' of 'new.csv' has '10', where ...
    """
    for word, code in _pair_codes(own, wanted):
        if word.removesuffix(".0") not in wanted.categories:
            raise DataError(
                f"column '{own.name}' of '{where}' has '{word}', where training has '{code}': its codes have lost "
                f"their zeros in front, as they do where a program reads numbers. {_read_as_text(own.name)}"
            )


def tell_doubtful_codes(own: TableColumn, wanted: TableColumn, where: str) -> None:
    """Say on stderr that a word such as "7" may have been "007" where both are known, and no word has its zeros."""
    if pair := next(_pair_codes(own, wanted), None):
        say(
            f"instar: warning: column '{own.name}' of '{where}' has '{pair[0]}', and no code with a zero in front; "
            f"training has '{pair[1]}', too. If a program has read the codes as numbers: {_read_as_text(own.name)}"
        )


def _pair_codes(own: TableColumn, wanted: TableColumn) -> Iterator[tuple[str, str]]:
    # words with the codes that they may have been before a program has read them as numbers
    padded = {word.lstrip("0") or "0": word for word in wanted.categories if _PADDED.match(word)}
    if not padded or any(map(_PADDED.match, own.categories)):
        return
    for word in own.categories:
        number = word.removesuffix(".0")  # whole numbers are written as 10.0 where others are missing
        if number in padded:
            yield word, padded[number]


def refuse_numbers_for_codes(wanted: TableColumn, where: str) -> None:
    """Refuse numbers in a column that is known to have codes with zeros in front.

    Raises:
        DataError: names the column and a code.
    """
    if code := next(filter(_PADDED.match, wanted.categories), None):
        raise DataError(
            f"column '{wanted.name}' of '{where}' holds numbers, and training has codes such as '{code}', whose zeros "
            f"in front numbers lose. {_read_as_text(wanted.name)}"
        )


def _read_as_text(name: str) -> str:
    return f"Read them as text, as pandas.read_csv(file, dtype={{'{name}': str}}) does, and make the table again."


def _recode_words(values: Tensor, own: TableColumn, wanted: TableColumn) -> Tensor:
    numbers = {word: float(code) for code, word in enumerate(wanted.categories)}
    # the last one is for -1, a word that was unknown before
    new = torch.tensor([*(numbers.get(word, UNSEEN_CODE) for word in own.categories), UNSEEN_CODE], dtype=values.dtype)
    codes = values.nan_to_num(nan=UNSEEN_CODE).long()
    return torch.where(values.isnan(), values, new[codes])


def _make_frame(values: Tensor, schema: Schema) -> Any:
    import pandas

    found: dict[str, Any] = {}
    for place, column in enumerate(schema):
        numbers = values[:, place].numpy()
        if column.kind == "word":
            words = [*column.categories, None]
            found[column.name] = [words[int(code)] for code in np.nan_to_num(numbers, nan=-1.0).tolist()]
        elif column.kind == "date":
            found[column.name] = pandas.to_datetime(numbers, unit="s", utc=column.has_zone)
        else:
            found[column.name] = numbers
    return pandas.DataFrame(found)
