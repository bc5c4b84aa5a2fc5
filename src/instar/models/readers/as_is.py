"""Reader of inputs that already have the size that the network takes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.models.readers.reader import Reader


@dataclass(frozen=True)
class AsIs(Reader):
    """Reads inputs as they are in the data.

    >>> AsIs().shape((3, 32, 32))
    (3, 32, 32)
    """

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return `inputs` unchanged."""
        return inputs

    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return `given`."""
        return given
