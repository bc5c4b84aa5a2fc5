"""Readers: how a model reads the inputs of the data. A reader is saved with its model, and exported with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import fields, is_dataclass
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from instar.compute.inputs import Inputs, Shapes, are_tensors, describe_shapes
from instar.data.columns.held import INPUTS
from instar.errors import ConfigError, MismatchError
from instar.expressions import write

if TYPE_CHECKING:
    from instar.data.samples import Samples

_LATER_VALUES = (("column", INPUTS), ("odd_margin", "down"), ("arithmetic", "torch"))


class Reader(ABC):
    """Turns raw inputs of the data into inputs of one size for a network, before they are standardised.

    A teacher and its student may have different readers. A reader is a value: equal readers read alike, so a batch is
    read once for all of them. It returns what it has read unchanged when it is given that again.

    Attributes:
        column: name of the column of the data that it reads. Only a teacher may read another column than the inputs,
            because its student has the inputs alone when it is used.
        takes_several: whether it reads several tensors by name.
    """

    column: str = INPUTS
    takes_several: ClassVar[bool] = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if taken := sorted({"parts", "columns"} & get_annotations(cls).keys()):  # a field would hide the property
            name = f"the field '{taken[0]}' of the reader {cls.__name__}"
            raise ConfigError(f"{name} must have another name, because a reader has its own {taken[0]}.")

    def __repr__(self) -> str:
        # without usual values that files of older versions do not have
        learnt = {field.name for field in fields(self) if not field.repr} if is_dataclass(self) else ()
        given = {name: value for name, value in vars(self).items() if name not in learnt}
        arguments = {name: value for name, value in given.items() if (name, value) not in _LATER_VALUES}
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

    def without_statistics(self) -> Reader:
        """Return the reader that makes the same tensor and names no statistics, which the network applies later."""
        return self

    def fitted(self, samples: Samples) -> Reader:
        """Return the reader that has learnt what it needs from training samples, such as the words of a vocabulary.

        Most readers need nothing. A reader that knows something already keeps it. What it knows is a field with
        `init=False, repr=False`, so that its text stays that of the settings.
        """
        return self

    def knowledge(self) -> dict[str, Any] | None:
        """Return what it has learnt as JSON values, which are saved with the model and exported; None: nothing."""
        return None

    def with_knowledge(self, knowledge: Mapping[str, Any]) -> Reader:
        """Return the reader that has learnt this, which another one has returned as its `knowledge`.

        Raises:
            ConfigError: when the values are not of such a reader.
        """
        raise ConfigError(f"{self} learns nothing from training samples, and a file says that it has.")

    @property
    def in_graph(self) -> Reader | None:
        """The reader that an export computes itself; None: the export begins behind it, with what it has read.

        Other programs resize images with other arithmetic, and graphs hold no texts.
        """
        return None

    def feed(self, raw: Any) -> Inputs:
        """Return the inputs of an export for raw inputs `[batch, ...]`: what it makes of them, unless `in_graph`."""
        found: Inputs = self(raw)
        return found

    def make_example(self) -> Inputs | None:
        """Return two inputs for the shapes of layers, where no zeros of the recorded shape will do; else None."""
        return None

    def sizes(self) -> dict[str, Any]:
        """Return what a network is built with, by parameter of its constructor, such as `vocabulary_size`."""
        return {}

    def collect(self, find: Callable[[str], Any]) -> Any:
        """Return what `find` returns for its column; for the reader of a network with several inputs, by their names.

        With a function from a column to its values, this gives the raw inputs of the reader; with one to a shape, the
        shapes.
        """
        return find(self.column)

    def gather(self, find: Callable[[str], Any]) -> Inputs:
        """Return the raw tensors of its columns; of texts, what it makes of them, because they are no tensors."""
        raw = self.collect(find)
        found: Inputs = raw if are_tensors(raw) else self(raw)
        return found

    def read(self, find: Callable[[str], Any], known: MutableMapping[Reader, Inputs] | None = None) -> Inputs:
        """Return what it makes of the values `[batch, ...]` that `find` returns for its columns.

        Args:
            find: returns the values of a column.
            known: what other readers have made of the same values; what this one makes is added.

        Raises:
            MismatchError: when it cannot read them.
        """
        raw: Any = self.collect(find)
        read_shape(self, _shapes_of(raw))  # refuses what would be broadcast, or not be cut, without a word
        found, alike = {} if known is None else known, self.without_statistics()
        if alike not in found:
            found[alike] = self(raw)
        return found[alike]

    @property
    def parts(self) -> tuple[Reader, ...]:
        """The readers of single columns that it consists of."""
        return (self,)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns that it reads."""
        found = self.collect(lambda column: column)
        return (found,) if isinstance(found, str) else tuple(dict.fromkeys(found.values()))

    def __str__(self) -> str:
        return write(self)


def read_shape(reader: Reader, given: Shapes) -> Shapes:
    """Return the shape of one input of the network, or the shapes of several by name, for raw inputs.

    Raises:
        MismatchError: when the reader cannot read such inputs.
    """
    if not reader.takes_several and isinstance(given, Mapping):
        first = next(iter(given))
        raise MismatchError(
            f"{reader} reads one tensor, and the data have several inputs: {describe_shapes(given)}; name the one that "
            f"it reads, as column='{first}'."
        )
    read: Any = reader
    found: Shapes = read.shape(given)
    return found


def _shapes_of(raw: Any) -> Any:
    return {name: _shapes_of(one) for name, one in raw.items()} if isinstance(raw, Mapping) else tuple(raw.shape[1:])
