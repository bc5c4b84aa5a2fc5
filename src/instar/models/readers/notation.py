"""Readers as text, which a configuration holds."""

from __future__ import annotations

from instar.errors import ConfigError
from instar.expressions import parse
from instar.models.readers.as_is import AsIs
from instar.models.readers.pixels import Pixels
from instar.models.readers.reader import Reader

READERS: dict[str, type[Reader]] = {reader.__name__: reader for reader in (AsIs, Pixels)}
"""Readers by their names in a configuration; one line for each new one."""


def as_reader(reader: str | Reader) -> Reader:
    """Return a reader given as text or as an object."""
    return reader if isinstance(reader, Reader) else parse_reader(reader)


def parse_reader(text: str) -> Reader:
    """Parse the text of a reader.

    Raises:
        ConfigError: when it names no reader, or its arguments do not fit.

    >>> parse_reader("Pixels(64, mean=[0.5], std=[0.25])").statistics()[0].item()
    0.5
    """
    reader = parse(text, READERS, "reader")
    if not isinstance(reader, Reader):
        raise ConfigError(f"reader '{text}' must be one reader, for example 'Pixels(64)'.")
    return reader
