"""The rows of a table without labels, in place of manufactured ones."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.checks import checked
from instar.data.columns.cell_rows import CellRows
from instar.data.opening import open_data
from instar.data.synthetic.generator import FittedGenerator, RowGenerator
from instar.data.tables.reading import read_known_columns
from instar.data.tables.sources import read_named_classes


@checked
@dataclass(frozen=True)
class UnlabelledTable(RowGenerator):
    """Real rows whose labels nobody knows, in their order. Other columns, and labels, are left out.

    Args:
        path: CSV, JSON or Parquet file, a folder or a Hub id; its training split.
    """

    path: str

    def __str__(self) -> str:
        return self.path

    def fit(self, rows: CellRows) -> FittedTable:
        """Return the rows of the table, with the columns and types of the given ones.

        Raises:
            DataError: when the file cannot be read, or a column holds another type.
            MismatchError: when a column is missing.
        """
        opened = open_data(self.path, needs_test=False, as_text=rows.schema.names)["train"]
        return FittedTable(rows, read_known_columns(read_named_classes(opened), rows.schema, self.path))


@dataclass(frozen=True, eq=False)
class FittedTable(FittedGenerator):
    """The rows of a table.

    Args:
        unlabelled: its rows.
    """

    unlabelled: CellRows

    @property
    def limit(self) -> int:
        """Number of rows that there are."""
        return len(self.unlabelled)

    def make(self, ids: Tensor, seed: int) -> CellRows:
        """Return rows by their number, under any seed."""
        return self.unlabelled.take(ids)
