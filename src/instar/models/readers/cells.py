"""Reader of the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from instar.checks import Count, checked
from instar.compute.inputs import Inputs, are_tensors, change_tensors, move_inputs
from instar.data.columns.cell_rows import (
    CELLS,
    UNSEEN_CODE,
    CellRows,
    SomeRows,
    tell_doubtful_codes,
)
from instar.data.opening import join_names
from instar.data.tables.frames import as_arrow, is_frame
from instar.data.tables.reading import read_known_columns
from instar.errors import ConfigError, MismatchError, say
from instar.models.readers.cell_encoding import CellEncoding
from instar.models.readers.embedded_cells import EmbeddedCells
from instar.models.readers.reader import Reader

if TYPE_CHECKING:
    from instar.data.samples import Samples


MIN_SHARE_OF_UNSEEN = 0.25
"""Share of the words of a column that were never seen in training, from which on stderr says so."""

# what each reader has made of a table, by device; it lives as long as the table
_encoded: WeakKeyDictionary[CellRows, dict[tuple[Reader, torch.device], Inputs]] = WeakKeyDictionary()


@checked
@dataclass(frozen=True, repr=False)
class Cells(Reader):
    """Reads the rows of a table as features: see `CellEncoding`.

    Means, standard deviations and categories are those of the training samples. Columns and categories are matched by
    name, whatever their order.

    Args:
        min_samples: training samples that a word needs for a feature of its own; rarer words are one feature together,
            as words that were never seen.
        words: `one-hot`, a feature for each word; or `embedded`, for networks that own an embedding of the words and
            are called with `numbers` and `words`, as `mlp` is: see `EmbeddedCells`.
        column: name of the column of the data that holds the table.

    >>> import pandas
    >>> from instar.data import load_data
    >>> table = pandas.DataFrame({"age": [30, 50, 40, 20], "plan": ["pro", "basic"] * 2, "left": ["yes", "no"] * 2})
    >>> data = load_data({"train": table, "test": table}, label_column="left", validation=0)
    >>> reader = Cells().fitted(data.train)
    >>> reader(table[:1].drop(columns="left")).shape, reader.features
    (torch.Size([1, 3]), ('age', 'plan = basic', 'plan = pro'))
    """

    min_samples: Count = 1
    column: str = CELLS
    words: Literal["one-hot", "embedded"] = "one-hot"
    encoding: CellEncoding | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        # what it has learnt is saved apart
        column = "" if self.column == CELLS else f", column={self.column!r}"
        words = "" if self.words == "one-hot" else f", words={self.words!r}"
        return f"Cells(min_samples={self.min_samples}{column}{words})"

    def __str__(self) -> str:
        return repr(self)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features in order."""
        return self._known.features

    @property
    def _known(self) -> CellEncoding:
        if self.encoding is None:
            raise MismatchError(f"{self} knows no table yet; train a model with it, or call fitted(samples).")
        return self.encoding

    @property
    def _kind(self) -> type[CellEncoding]:
        return EmbeddedCells if self.words == "embedded" else CellEncoding

    def fitted(self, samples: Samples) -> Cells:
        """Return the reader that knows means and categories of training samples.

        Raises:
            MismatchError: when the data are no table.
        """
        if self.encoding is not None:
            return self
        rows = samples.source.columns.get(self.column)
        if not isinstance(rows, CellRows):
            raise MismatchError(f"{self} reads tables, and '{samples.source.name}' is none; leave the reader out.")
        return replace(self, encoding=self._kind.fit(rows.take(samples.ids), self.min_samples))

    def knowledge(self) -> dict[str, Any] | None:
        """Return the encoding as JSON values."""
        return None if self.encoding is None else {"columns": self.encoding.as_json()}

    def with_knowledge(self, knowledge: Mapping[str, Any]) -> Cells:
        """Return the reader of this encoding.

        Raises:
            ConfigError: when the values are no encoding.
        """
        try:
            return replace(self, encoding=self._kind.from_json(knowledge["columns"]))
        except (KeyError, TypeError, IndexError) as error:
            raise ConfigError(f"what the reader {self} has learnt is damaged: {error!r}.") from None

    def sizes(self) -> dict[str, Any]:
        """Return the number of different words that a network embeds."""
        return {"num_words": self.encoding.num_words} if isinstance(self.encoding, EmbeddedCells) else {}

    def encode(self, rows: CellRows) -> Any:
        """Return the features of all rows, float32 `[rows, features]`; or `numbers` and `words` of all rows."""
        cells = rows.recode(self._known.schema)
        _tell_unseen(rows, cells, self._known)
        return self._known(cells)

    def _remember(self, rows: CellRows, device: torch.device) -> Inputs:
        known = _encoded.setdefault(rows, {})
        if (self, device) not in known:
            known[self, device] = move_inputs(self.encode(rows), device)
        return known[self, device]

    def __call__(self, inputs: Any) -> Any:
        """Return features `[batch, features]`, or `numbers` and `words` where words are embedded.

        Args:
            inputs: a data frame of any library, `CellRows`, or float64 `[batch, columns]` in the columns and words of
                `encoding.schema`; features are returned unchanged.

        Raises:
            DataError: when a column is missing, or holds another type.
        """
        if isinstance(inputs, SomeRows):
            rows = self._remember(inputs.column, inputs.ids.device)
            return change_tensors(lambda tensor: tensor.index_select(0, inputs.ids), rows)
        if isinstance(inputs, Tensor):
            return self._known(inputs) if inputs.dtype == torch.float64 else inputs
        if are_tensors(inputs):  # numbers and words, which are read already
            return inputs
        return self.encode(inputs if isinstance(inputs, CellRows) else self.read_frame(inputs))

    def read_frame(self, frame: Any, name: str = "table") -> CellRows:
        """Return a data frame with the columns that the reader knows; others are left out.

        Raises:
            MismatchError: when it is no data frame, or lacks a column.
            DataError: when a column holds another type.
        """
        schema = self._known.schema
        if not is_frame(frame):
            raise MismatchError(f"{self} reads data frames, got {type(frame).__name__}.")
        return read_known_columns(as_arrow(frame, name), schema, name)

    def list_columns(self) -> list[dict[str, Any]]:
        """Return name, type and words of each column of `encoding.schema`, as JSON values."""
        return self._known.schema.as_json()

    @property
    def in_graph(self) -> Cells:
        """The reader itself, whose arithmetic is that of any other program."""
        return self

    def feed(self, raw: SomeRows) -> Tensor:
        """Return cells in the columns and words of `encoding.schema`, float64 `[batch, columns]`."""
        return raw.column.recode(self._known.schema).index_select(0, raw.on_host)

    def make_example(self) -> Tensor:
        """Return two rows, in the columns and words of `encoding.schema`."""
        return torch.zeros(2, len(self._known.schema.names), dtype=torch.float64)

    def shape(self, given: tuple[int, ...]) -> Any:
        """Return the number of features, or of `numbers` and `words`; `given` as long as it knows none."""
        if isinstance(self.encoding, EmbeddedCells):
            return {"numbers": (len(self.features),), "words": (self.encoding.num_word_columns,)}
        return given if self.encoding is None else (len(self.features),)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return 0 and 1: the features are standardised already."""
        return torch.zeros(1), torch.ones(1)


def _tell_unseen(rows: CellRows, cells: Tensor, encoding: CellEncoding) -> None:
    # some new words are new categories; many may be written in another way, such as 1.0 for 1
    for place, one in enumerate(encoding.columns):
        column, codes = one.column, cells[:, place]
        own = rows.schema.columns[rows.schema.find(column.name, rows.name)]
        tell_doubtful_codes(own, column, rows.name)
        unseen, known = int((codes == UNSEEN_CODE).sum()), int((codes >= 0).sum())
        # rare words of training are unseen, too, where the reader has one feature for all of them
        share = 1.0 if one.has_unseen else MIN_SHARE_OF_UNSEEN
        if column.kind != "word" or not column.categories or not unseen or unseen < share * (unseen + known):
            continue
        odd = [word for word in own.categories if word not in column.categories]
        told = f"of column '{column.name}' of '{rows.name}' was seen in training: it has {join_names(odd, 3)}"
        who = f"{unseen:,} of {unseen + known:,} rows have a word {told.replace('was seen', 'that was never seen')}"
        say(f"instar: warning: {who if known else f'no word {told}'}, and training {join_names(column.categories, 3)}.")
