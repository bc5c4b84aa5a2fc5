"""How the cells of a table become numbers, and numbers of words, for a network that embeds the words."""

from __future__ import annotations

from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from instar.errors import DataError
from instar.models.readers.cell_encoding import CellEncoding, ColumnEncoding


class EmbeddedCells(CellEncoding):
    """Turns cells into `numbers`, the features of quantities, and `words`, a number for the word of each column.

    The words of all columns are counted together from 1: those of a column in order, then "was never seen" where
    training had rare words, then "is missing" where training had missing values. Number 0 is every other word, of which
    training tells nothing; a network embeds it as zeros.

    Args:
        columns: encodings of the columns that have features.

    >>> from instar.data.columns.cell_rows import CellRows
    >>> from instar.data.columns.schema import Schema, TableColumn
    >>> schema = Schema((TableColumn("age", "number"), TableColumn("plan", "word", ("basic", "pro"))))
    >>> rows = CellRows(torch.tensor([[30.0, 1.0], [50.0, 0.0], [40.0, torch.nan]]).double(), schema)
    >>> encoding = EmbeddedCells.fit(rows)
    >>> encoding.num_words, encoding(rows.recode(encoding.schema))["words"].tolist()
    (4, [[2], [1], [3]])
    """

    def _check(self, name: str) -> None:
        if not any(map(_holds_words, self.columns)):
            raise DataError(f"'{name}' has no column of words to embed; leave out Cells(words='embedded').")

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of the features of quantities in order."""
        return (
            *(one.column.name for one in self.columns if one.std > 0),
            *(f"{one.column.name} is missing" for one in self._quantities if one.has_missing),
        )

    @cached_property
    def num_words(self) -> int:
        """How many numbers of words there are, from 0."""
        return 1 + sum(one.num_features for one in self.columns if _holds_words(one))

    @property
    def num_word_columns(self) -> int:
        """Number of columns of words."""
        return sum(map(_holds_words, self.columns))

    @property
    def _quantities(self) -> list[ColumnEncoding]:
        return [one for one in self.columns if not _holds_words(one)]

    def _make_tensors(self) -> dict[str, Tensor]:
        words = [(place, one) for place, one in enumerate(self.columns) if _holds_words(one)]
        first = list(accumulate((one.num_features for _, one in words), initial=1))[:-1]
        unseen = [start + len(one.column.categories) for start, (_, one) in zip(first, words, strict=True)]
        missing = [start + one.has_unseen for start, (_, one) in zip(unseen, words, strict=True)]
        flags = [place for place, one in enumerate(self.columns) if one.has_missing and not _holds_words(one)]
        numbers = {
            "first": first,
            "unseen": [at * one.has_unseen for at, (_, one) in zip(unseen, words, strict=True)],
            "missing_word": [at * one.has_missing for at, (_, one) in zip(missing, words, strict=True)],
        }
        return super()._make_tensors() | {
            "words": torch.tensor([place for place, _ in words], dtype=torch.int64),
            "missing": torch.tensor(flags, dtype=torch.int64),
            **{name: torch.tensor(values, dtype=torch.float64) for name, values in numbers.items()},
        }

    def __call__(self, values: Tensor) -> Any:
        """Return `numbers`, float32 `[rows, features]`, and `words`, int64 `[rows, columns of words]`.

        Args:
            values: float64 `[rows, columns]` in the columns and words of `schema`; see `CellRows.recode`.
        """
        at = self._on(values.device)
        codes = values.index_select(1, at["words"])
        words = torch.where(codes < 0, at["unseen"], at["first"] + codes)
        words = torch.where(codes.isnan(), at["missing_word"], words)
        missing = values.index_select(1, at["missing"]).isnan()
        return {"numbers": torch.cat([self._standardise(values, at), missing.float()], 1), "words": words.long()}


def _holds_words(one: ColumnEncoding) -> bool:
    return one.column.kind == "word"
