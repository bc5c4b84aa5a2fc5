"""Reader of a network that takes several tensors by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from instar.compute.inputs import Inputs, Shape, describe_shapes, shapes_of
from instar.errors import ConfigError, MismatchError
from instar.models.readers.reader import Reader

if TYPE_CHECKING:
    from instar.data.samples import Samples


@dataclass(frozen=True, init=False, repr=False)
class Named(Reader):
    """Reads a column for each argument of a network, which is called with them by keyword.

    network(input_ids=..., attention_mask=...), each as its own reader reads it. Raw inputs are a mapping from the same
    names to tensors.

    Args:
        readers: a reader of one column for each argument.

    Raises:
        ConfigError: when there is no reader, or one of them is none, or reads several tensors itself.

    >>> from instar.models.readers.as_is import AsIs
    >>> reader = Named(input_ids=AsIs("ids"), attention_mask=AsIs("mask"))
    >>> reader, reader.columns
    (Named(input_ids=AsIs(column='ids'), attention_mask=AsIs(column='mask')), ('ids', 'mask'))
    >>> reader.shape({"input_ids": (16,), "attention_mask": (16,)})
    {'input_ids': (16,), 'attention_mask': (16,)}
    """

    readers: tuple[tuple[str, Reader], ...]  # a mapping has no hash
    takes_several: ClassVar[bool] = True

    def __init__(self, **readers: Reader) -> None:
        for name, reader in readers.items():
            if not isinstance(reader, Reader) or isinstance(reader, Named):
                raise ConfigError(f"Named({name}) must be the reader of one column, such as AsIs('{name}').")
        if not readers:
            raise ConfigError("Named needs a reader for each argument of the network, as Named(input_ids=AsIs('ids')).")
        object.__setattr__(self, "readers", tuple(readers.items()))

    def __repr__(self) -> str:
        return f"Named({', '.join(f'{name}={reader!r}' for name, reader in self.readers)})"

    def __str__(self) -> str:
        return f"Named({', '.join(f'{name}={reader}' for name, reader in self.readers)})"

    @property
    def parts(self) -> tuple[Reader, ...]:
        """The reader of each argument."""
        return tuple(reader for _, reader in self.readers)

    def fitted(self, samples: Samples) -> Named:
        """Return the reader whose parts have learnt what they need from training samples."""
        return Named(**{name: reader.fitted(samples) for name, reader in self.readers})

    def knowledge(self) -> dict[str, Any] | None:
        """Return what the parts have learnt, by argument; None: nothing."""
        found = {name: reader.knowledge() for name, reader in self.readers}
        return {name: known for name, known in found.items() if known is not None} or None

    def with_knowledge(self, knowledge: Mapping[str, Any]) -> Named:
        """Return the reader whose parts have learnt this."""
        return Named(
            **{
                name: reader.with_knowledge(knowledge[name]) if name in knowledge else reader
                for name, reader in self.readers
            }
        )

    def collect(self, find: Callable[[str], Any]) -> dict[str, Any]:
        """Return what `find` returns for the column of each argument."""
        return {name: find(reader.column) for name, reader in self.readers}

    def read(
        self, find: Callable[[str], Inputs], known: MutableMapping[Reader, Inputs] | None = None
    ) -> dict[str, Any]:
        """Return what the reader of each argument makes of its column, once for other networks that read it alike."""
        for name, reader in self.readers:
            if isinstance(several := find(reader.column), Mapping):
                self.shape({name: shapes_of(several) for name, _ in self.readers})
        return {name: reader.read(find, known) for name, reader in self.readers}

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]  # of several
        """Return the tensor of each argument, of raw tensors by the same names; others are left out."""
        self._require(inputs)
        return {name: reader(inputs[name]) for name, reader in self.readers}

    def shape(self, given: Mapping[str, Any]) -> dict[str, Shape]:  # type: ignore[override]  # of several
        """Return the shape of each argument.

        Raises:
            MismatchError: when an argument is missing, or its reader cannot read it.
        """
        self._require(given)
        for name, reader in self.readers:
            if isinstance(given[name], Mapping):
                raise MismatchError(
                    f"{self} reads all inputs of the data as '{name}' ({describe_shapes(given[name])}); name one of "
                    f"them, as {name}={type(reader).__name__}(column='{next(iter(given[name]))}')."
                )
        return {name: reader.shape(given[name]) for name, reader in self.readers}

    def _require(self, given: object) -> None:
        found = set(given) if isinstance(given, Mapping) else set()
        if missing := [name for name, _ in self.readers if name not in found]:
            what = f"found: {', '.join(map(str, found))}" if found else "found one without a name"
            raise MismatchError(f"{self} reads tensors by name, and '{missing[0]}' is missing; {what}.")
