"""Reader of inputs that already have the size that the network takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from instar.checks import checked
from instar.data.columns.held import INPUTS
from instar.models.readers.reader import Reader


@checked
@dataclass(frozen=True, repr=False)
class AsIs(Reader):
    """Reads inputs, or another column, as they are in the data.

    The inputs of data may be several tensors by name, which the network is then called with by keyword.

    Args:
        column: name of the column of the data.

    >>> AsIs().shape((3, 32, 32)), AsIs("depth")
    ((3, 32, 32), AsIs(column='depth'))
    """

    column: str = INPUTS
    takes_several: ClassVar[bool] = True

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return `inputs` unchanged."""
        return inputs

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return `given`."""
        return given
