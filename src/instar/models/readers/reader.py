"""Readers: how a model reads the inputs of the data. A reader is saved with its model, and exported with it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from instar.data.columns.held import INPUTS
from instar.expressions import write


class Reader(ABC):
    """Turns raw inputs of the data into inputs of one size for a network, before they are standardised.

    A teacher and its student may have different readers. A reader is a value: equal readers read alike, so a batch is
    read once for all of them. It returns what it has read unchanged when it is given that again.

    Attributes:
        column: name of the column of the data that it reads. Only a teacher may read another column than the inputs,
            because its student has the inputs alone when it is used.
    """

    column: str = INPUTS

    def __repr__(self) -> str:
        # without the usual column, as in the files of versions without columns
        arguments = {name: value for name, value in vars(self).items() if (name, value) != ("column", INPUTS)}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"

    @abstractmethod
    def __call__(self, inputs: Tensor) -> Tensor:
        """Return inputs `[batch, ...]` of the size that the network takes, of raw inputs `[batch, ...]`."""

    @abstractmethod
    def shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one input of the network for a raw input of the shape `given`.

        Raises:
            MismatchError: when it cannot read such inputs.
        """

    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Return mean and standard deviation to standardise with, broadcast against one input; None: the data's."""
        return None

    def __str__(self) -> str:
        return write(self)
