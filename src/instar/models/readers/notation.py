"""Readers as text, which a configuration holds."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.compute.inputs import Inputs
from instar.errors import ConfigError, MismatchError, shortened
from instar.expressions import parse
from instar.importing import TypedName, names_an_import
from instar.models.readers.as_is import AsIs
from instar.models.readers.cells import Cells
from instar.models.readers.extracted import Extracted
from instar.models.readers.given_words import GivenWords
from instar.models.readers.named import Named
from instar.models.readers.pixels import Pixels
from instar.models.readers.reader import Reader
from instar.models.readers.tokens import Tokens
from instar.models.readers.word_tokens import WordTokens
from instar.models.readers.words import Words

READERS: dict[str, type[Reader]] = {
    reader.__name__: reader for reader in (AsIs, Pixels, Words, Tokens, GivenWords, WordTokens, Named, Extracted, Cells)
}
"""Readers by their names in a configuration; one line for each new one."""


def as_reader(reader: str | Reader, *, trust: bool = False) -> Reader:
    """Return a reader given as text or as an object; `trust` allows a text to import readers of the user's."""
    return reader if isinstance(reader, Reader) else parse_reader(reader, trust=trust or isinstance(reader, TypedName))


def require_readable(reader: Reader) -> Reader:
    """Return a reader whose text is read as an equal one, because the file of a model holds the text.

    Raises:
        ConfigError: when another process could not read it.
    """
    text = str(reader)
    if not names_an_import(text):
        return reader
    try:
        is_same = not text.startswith("__main__:") and parse_reader(text, trust=True) == reader
    except ConfigError:
        is_same = False
    if not is_same:
        raise ConfigError(
            f"the reader '{text}' could not be made again from its text, which is saved with the model; define it as a "
            "frozen dataclass in a module that can be imported."
        )
    return reader


def refuse_second_change(reader: Reader, raw: Inputs) -> None:
    """Refuse a reader of the user's that changes what it has read already, because a loaded model reads it again.

    Args:
        reader: reader.
        raw: a few raw inputs.

    Raises:
        MismatchError: names the reader, and both shapes.
    """
    if reader.takes_several or not isinstance(raw, Tensor) or not names_an_import(str(reader)):
        return
    once = reader(raw)
    try:
        twice = reader(once)
        is_same = once.shape == twice.shape and torch.equal(once, twice)
        told = f"makes shape {list(twice.shape[1:])} of them"
    except Exception as error:  # whatever the user's code raises
        is_same, told = False, f"fails for them ({shortened(error)})"
    if not is_same:
        raise MismatchError(
            f"the reader '{reader}' must return what it has read unchanged; it reads inputs of shape "
            f"{list(once.shape[1:])}, and then {told}."
        )


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
