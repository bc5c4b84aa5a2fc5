"""Readers: how a model reads the inputs of the data."""

from instar.models.readers.as_is import AsIs
from instar.models.readers.cells import Cells
from instar.models.readers.extracted import Extracted
from instar.models.readers.given_words import GivenWords
from instar.models.readers.named import Named
from instar.models.readers.notation import READERS, as_reader, parse_reader
from instar.models.readers.pixels import Pixels
from instar.models.readers.reader import Reader
from instar.models.readers.text_reader import TextReader
from instar.models.readers.tokens import Tokens
from instar.models.readers.word_tokens import WordTokens
from instar.models.readers.words import Words

__all__ = [
    "READERS",
    "AsIs",
    "Cells",
    "Extracted",
    "GivenWords",
    "Named",
    "Pixels",
    "Reader",
    "TextReader",
    "Tokens",
    "WordTokens",
    "Words",
    "as_reader",
    "parse_reader",
]
