"""Rows that a function of the user's makes, by `package.module:function`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from instar.calling import is_installed
from instar.data.columns.cell_rows import CellRows
from instar.data.synthetic.generator import FittedGenerator, RowGenerator
from instar.data.tables.frames import as_arrow, is_frame
from instar.data.tables.reading import read_known_columns
from instar.errors import ConfigError, DataError, InstarError, shortened
from instar.importing import TypedName, import_object, require_trust

_NUM_TRIED_ROWS = 3


@dataclass(frozen=True)
class RowFunction(RowGenerator):
    """A function that is called with the training rows as a data frame, the numbers of rows and a seed.

    It returns a data frame of any library with a row for each number. Row i may depend on the training rows, i and the
    seed alone, and on no other number, because rows are made in parts, and again when a run resumes.

    Args:
        name: `package.module:function`.
        function: the function.
    """

    name: str
    function: Callable[..., Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, *, trust: bool) -> RowFunction:
        """Import a function by its name.

        Raises:
            ConfigError: when it may not be imported, cannot be, or is no function of the user's.
        """
        require_trust(name, "transfer", trust=trust or isinstance(name, TypedName))
        found = import_object(name, "transfer")
        if not callable(found) or isinstance(found, type):
            raise ConfigError(f"transfer '{name}' must be a function, got {shortened(repr(found))}.")
        # a run folder may name any function, so only code of the user's is called unless the name was typed
        if not isinstance(name, TypedName) and is_installed(found):
            raise ConfigError(f"transfer '{name}' is a function of an installed package; call it in one of your own.")
        return cls(name, found)

    def __str__(self) -> str:
        return self.name

    def fit(self, rows: CellRows) -> FittedFunction:
        """Return the rows that the function makes.

        Raises:
            DataError: when it fails, returns something else, or a row depends on which others are asked for.
        """
        fitted = FittedFunction(rows, self)
        ids = torch.arange(_NUM_TRIED_ROWS)
        together, alone = fitted.make(ids, 0).take(ids[-1:]), fitted.make(ids[-1:], 0)
        if together.fingerprint() != alone.fingerprint():
            raise DataError(
                f"'{self.name}' makes another row {int(ids[-1])} when it is asked for that row alone; a row may depend "
                "on its number and the seed, and not on the other numbers, such as in "
                "numpy.random.default_rng([seed, number])."
            )
        return fitted


@dataclass(frozen=True, eq=False)
class FittedFunction(FittedGenerator):
    """A function with the rows that it is called with.

    Args:
        made_by: the function.
    """

    made_by: RowFunction

    def make(self, ids: Tensor, seed: int) -> CellRows:
        """Return rows that the function makes."""
        name = self.made_by.name
        try:
            found = self.made_by.function(self.rows.as_frame().copy(), ids.numpy().copy(), seed)
        except InstarError:
            raise
        except Exception as error:  # the code is the user's
            raise DataError(f"'{name}' cannot make rows: {type(error).__name__}: {shortened(error)}.") from error
        if not is_frame(found):
            raise DataError(f"'{name}' must return a data frame, got {type(found).__name__}.")
        table = as_arrow(found, name)
        if table.num_rows != len(ids):
            raise DataError(f"'{name}' must return a row for each of {len(ids)} numbers, got {table.num_rows} rows.")
        return read_known_columns(table, self.rows.schema, name)
