"""What the columns of a table hold: their names, types and categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from instar.errors import DataError, nearest

CellKind = Literal["number", "word", "boolean", "date", "empty"]
"""What a column holds; "empty": no row has a value."""

CELL_KINDS: tuple[CellKind, ...] = get_args(CellKind)


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Args:
        name: its name.
        kind: what it holds.
        categories: distinct words, sorted; () for other columns.
        has_zone: whether its dates have a time zone.
    """

    name: str
    kind: CellKind
    categories: tuple[str, ...] = ()
    has_zone: bool = False

    @property
    def is_quantity(self) -> bool:
        """Whether its values have a mean: numbers, booleans as 0 and 1, and dates in seconds."""
        return self.kind in ("number", "boolean", "date")


@dataclass(frozen=True)
class Schema:
    """The columns of a table in order.

    >>> schema = Schema((TableColumn("age", "number"), TableColumn("plan", "word", ("basic", "pro"))))
    >>> schema.names, schema.describe()
    (('age', 'plan'), '1 number, 1 word')
    """

    columns: tuple[TableColumn, ...]

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[TableColumn]:
        return iter(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def describe(self) -> str:
        """Return how many columns there are of each type."""
        counts = {kind: sum(column.kind == kind for column in self.columns) for kind in CELL_KINDS}
        told = {"empty": ("column without values", "columns without values")}
        parts = [(count, *told.get(kind, (kind, f"{kind}s"))) for kind, count in counts.items() if count]
        return ", ".join(f"{count:,} {one if count == 1 else several}" for count, one, several in parts)

    def find(self, name: str, where: str) -> int:
        """Return the place of a column.

        Raises:
            DataError: when there is none of this name; `where` names the table.
        """
        if name not in self.names:
            raise DataError(f"'{where}' has no column '{name}'; {nearest(name, self.names)}")
        return self.names.index(name)

    def as_json(self) -> list[dict[str, Any]]:
        """Return values for JSON; `from_json` reads them."""
        return [{**asdict(column), "categories": list(column.categories)} for column in self.columns]

    @classmethod
    def from_json(cls, given: Sequence[Mapping[str, Any]]) -> Schema:
        """Return the schema that `as_json` has written.

        >>> Schema.from_json(Schema((TableColumn("when", "date", has_zone=True),)).as_json()).columns[0].has_zone
        True
        """
        return cls(
            tuple(TableColumn(one["name"], one["kind"], tuple(one["categories"]), one["has_zone"]) for one in given)
        )
