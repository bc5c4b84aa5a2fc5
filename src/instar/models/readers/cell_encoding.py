"""How the cells of a table become the features of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import torch
from torch import Tensor

from instar.data.columns.cell_rows import UNSEEN_CODE, CellRows
from instar.data.columns.schema import Schema, TableColumn
from instar.errors import DataError

Origin = Literal["quantity", "word", "missing"]
"""What a feature tells of its column: the quantity, whether it is a word, or whether it is missing."""

MAX_FEATURES = 10_000
"""Most features of a table; each takes four bytes of every sample."""


@dataclass(frozen=True)
class ColumnEncoding:
    """How one column becomes features.

    Args:
        column: name and type, with the words that are features, sorted.
        mean: mean of the known training values; 0 for words.
        std: their standard deviation; 0 where they do not vary, so that they are no feature.
        has_missing: whether a training sample has no value, so that "missing" is a feature.
        has_unseen: whether some training words are too rare for a feature, so that "never seen" is a feature.
    """

    column: TableColumn
    mean: float = 0.0
    std: float = 0.0
    has_missing: bool = False
    has_unseen: bool = False

    @property
    def num_features(self) -> int:
        """Number of its features."""
        return (self.std > 0) + len(self.column.categories) + self.has_missing + self.has_unseen

    def as_json(self) -> dict[str, Any]:
        """Return values for JSON; `from_json` reads them."""
        [column] = Schema((self.column,)).as_json()
        return column | {
            "mean": self.mean,
            "std": self.std,
            "has_missing": self.has_missing,
            "has_unseen": self.has_unseen,
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> ColumnEncoding:
        """Return the encoding that `as_json` has written."""
        [column] = Schema.from_json([given])
        return cls(column, given["mean"], given["std"], given["has_missing"], given["has_unseen"])


@dataclass(frozen=True)
class CellEncoding:
    """Turns cells into features: numbers standardised, words as 0 and 1 for each category.

    First z = (x - mean) / std of every quantity, 0 where it is missing; then [x = w] for each word w of each column,
    and [x was never seen] where training had rare words; last [x is missing] where training had missing values. A word
    without a feature of its own, and a missing word where training had none, are zeros: their weights would be those of
    the random start. Columns that do not vary in training have no feature.

    Args:
        columns: encodings of the columns that have features.

    >>> schema = Schema((TableColumn("age", "number"), TableColumn("plan", "word", ("basic", "pro"))))
    >>> rows = CellRows(torch.tensor([[30.0, 1.0], [50.0, 0.0], [torch.nan, 0.0]]).double(), schema)
    >>> encoding = CellEncoding.fit(rows)
    >>> encoding.features
    ('age', 'plan = basic', 'plan = pro', 'age is missing')
    >>> encoding(rows.recode(encoding.schema)).tolist()
    [[-1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """

    columns: tuple[ColumnEncoding, ...]
    _hash: int = field(default=0, init=False, repr=False, compare=False)
    _tensors: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # kept, because every batch looks for what its readers have read
        object.__setattr__(self, "_hash", hash(self.columns))
        # made here, because an exporter that traces a call would keep its own tensors in their place
        object.__setattr__(self, "_tensors", self._make_tensors())

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def fit(cls, rows: CellRows, min_samples: int = 1) -> Self:
        """Return the encoding of training rows.

        Args:
            rows: training samples alone.
            min_samples: rows that a word needs for a feature of its own.

        Raises:
            DataError: when no column varies, or words are too many.
        """
        found = [_fit_column(column, rows.values[:, place], min_samples) for place, column in enumerate(rows.schema)]
        # a word that all rows share, or that all rows lack, tells nothing
        encoding = cls(tuple(one for one in found if one.num_features > (one.column.kind == "word")))
        if not encoding.columns:
            raise DataError(f"no column of '{rows.name}' varies in the training samples, so nothing can be learnt.")
        encoding._check(rows.name)
        return encoding

    def _check(self, name: str) -> None:
        if len(self.features) > MAX_FEATURES:
            most = max(self.columns, key=lambda one: one.num_features)
            raise DataError(
                f"'{name}' has {len(self.features):,} features, and at most {MAX_FEATURES:,} are possible; column "
                f"'{most.column.name}' has {most.num_features:,}. Leave it out with data.leave_out, or read rare words "
                "as one with --set reader='Cells(min_samples=10)', or all of them as embeddings with "
                "--set reader='Cells(words=\"embedded\")'."
            )

    @cached_property
    def schema(self) -> Schema:
        """The columns that are read, with the words that are features."""
        return Schema(tuple(one.column for one in self.columns))

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of the features in order."""
        return (
            *(one.column.name for one in self.columns if one.std > 0),
            *(_name_word(self.columns[place].column, code) for place, code in self._words),
            *(f"{one.column.name} is missing" for one in self.columns if one.has_missing),
        )

    @cached_property
    def origins(self) -> tuple[tuple[Origin, int, float], ...]:
        """What each feature is of, in order: its origin, the place of its column, and the number of its word or 0."""
        return (
            *(("quantity", place, 0.0) for place, one in enumerate(self.columns) if one.std > 0),
            *(("word", place, code) for place, code in self._words),
            *(("missing", place, 0.0) for place, one in enumerate(self.columns) if one.has_missing),
        )

    @property
    def _words(self) -> Iterator[tuple[int, float]]:
        for place, one in enumerate(self.columns):
            yield from ((place, float(code)) for code in range(len(one.column.categories)))
            if one.has_unseen:
                yield place, UNSEEN_CODE

    def _make_tensors(self) -> dict[str, Tensor]:
        quantities = [(place, one) for place, one in enumerate(self.columns) if one.std > 0]
        words = list(self._words)
        return {
            "quantities": torch.tensor([place for place, _ in quantities], dtype=torch.int64),
            "mean": torch.tensor([one.mean for _, one in quantities], dtype=torch.float64),
            "std": torch.tensor([one.std for _, one in quantities], dtype=torch.float64),
            "words": torch.tensor([place for place, _ in words], dtype=torch.int64),
            "codes": torch.tensor([code for _, code in words], dtype=torch.float64),
            "missing": torch.tensor([p for p, one in enumerate(self.columns) if one.has_missing], dtype=torch.int64),
        }

    def __call__(self, values: Tensor) -> Any:
        """Return features, float32 `[rows, features]`.

        Args:
            values: float64 `[rows, columns]` in the columns and words of `schema`; see `CellRows.recode`.
        """
        at = self._on(values.device)
        words = values.index_select(1, at["words"]) == at["codes"]
        missing = values.index_select(1, at["missing"]).isnan()
        return torch.cat([self._standardise(values, at), words.float(), missing.float()], 1)

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        return {name: tensor.to(device) for name, tensor in self._tensors.items()}

    def _standardise(self, values: Tensor, at: Mapping[str, Tensor]) -> Tensor:
        # in float64, because seconds since 1970 do not fit into float32
        normal = (values.index_select(1, at["quantities"]) - at["mean"]) / at["std"]
        return torch.where(normal.isnan(), torch.zeros_like(normal), normal).float()

    def as_json(self) -> list[dict[str, Any]]:
        """Return values for JSON; `from_json` reads them."""
        return [one.as_json() for one in self.columns]

    @classmethod
    def from_json(cls, given: Sequence[Mapping[str, Any]]) -> Self:
        """Return the encoding that `as_json` has written."""
        return cls(tuple(map(ColumnEncoding.from_json, given)))


def _fit_column(column: TableColumn, values: Tensor, min_samples: int) -> ColumnEncoding:
    known = values[~values.isnan()]
    has_missing = len(known) < len(values)
    if column.kind == "word":
        counts = known.long().bincount(minlength=len(column.categories)).tolist()
        pairs = list(zip(column.categories, counts, strict=True))
        # a word that other splits alone have is never seen in training
        words = tuple(word for word, count in pairs if count >= max(1, min_samples))
        has_unseen = any(0 < count < min_samples for _, count in pairs)
        return ColumnEncoding(replace(column, categories=words), has_missing=has_missing, has_unseen=has_unseen)
    varies = len(known) > 0 and bool(known.min() < known.max())
    # of numbers near 0 alone, so that those of dates do not lose their last digits
    mean = float(known[0] + (known - known[0]).mean()) if varies else 0.0
    std = math.sqrt(float((known - mean).square().mean())) if varies else 0.0
    return ColumnEncoding(column, mean, std, has_missing and len(known) > 0)


def _name_word(column: TableColumn, code: float) -> str:
    return f"{column.name} was never seen" if code == UNSEEN_CODE else f"{column.name} = {column.categories[int(code)]}"
