"""Readers: how a model reads the inputs of the data. A reader is saved with its model, and exported with it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Reader(ABC):
    """Turns raw inputs of the data into inputs of one size for a network, before they are standardised.

    A teacher and its student may have different readers. A reader is a value: equal readers read alike, so a batch is
    read once for all of them. It returns what it has read unchanged when it is given that again.
    """

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
