"""Readers as text, which a configuration holds."""

from __future__ import annotations

from instar.errors import ConfigError
from instar.expressions import parse
from instar.models.readers.as_is import AsIs
from instar.models.readers.named import Named
from instar.models.readers.pixels import Pixels
from instar.models.readers.reader import Reader

READERS: dict[str, type[Reader]] = {reader.__name__: reader for reader in (AsIs, Pixels, Named)}
"""Readers by their names in a configuration; one line for each new one."""


def as_reader(reader: str | Reader, *, trust: bool = False) -> Reader:
    """Return a reader given as text or as an object; `trust` allows a text to import readers of the user's."""
    return reader if isinstance(reader, Reader) else parse_reader(reader, trust=trust)


def parse_reader(text: str, *, trust: bool = False) -> Reader:
    """Parse the text of a reader.

    Args:
        text: one reader; `package.module:Name` is a reader of the user's.
        trust: allow the import of such a reader.

    Raises:
        ConfigError: when it names no reader, its arguments do not fit, or it is the user's and not trusted.

    >>> parse_reader("Pixels(64, mean=[0.5], std=[0.25])").statistics()[0].item()
    0.5
    """
    reader = parse(text, READERS, "reader", kind=Reader, trust=trust)
    if not isinstance(reader, Reader):
        raise ConfigError(f"reader '{text}' must be one reader, for example 'Pixels(64)'.")
    return reader
