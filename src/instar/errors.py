"""Exception classes that callers can catch, and helpers that word their messages."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from contextlib import suppress

MAX_VALUE_CHARACTERS = 300
"""Longest quoted value in an error message; the longest file name of common file systems fits."""

MAX_SENTENCE_CHARACTERS = 900
"""Longest error message; a terminal shows it on one screen."""

_QUOTED = re.compile(rf"'[^']{{{MAX_VALUE_CHARACTERS},}}'|\"[^\"]{{{MAX_VALUE_CHARACTERS},}}\"")


class InstarError(ValueError):
    """An error that the user can fix. The command line prints its message and exits with code 2.

    A message may quote any value that the user gave, so this class keeps it to one line and cuts the middle out of long
    values. No other code needs to.

    >>> str(InstarError(f"the folder '{'x' * 5000}' is missing."))[:40]
    "the folder 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    >>> len(str(InstarError("x" * 5000)))
    900
    """

    def __init__(self, sentence: object = "") -> None:
        super().__init__(as_sentence(sentence))


class ConfigError(InstarError):
    """An unknown setting, or one of the wrong type or outside its range."""


class DataError(InstarError):
    """Data that cannot be found, read or interpreted."""


class RunError(InstarError):
    """A run folder that is damaged, in use, from a newer version, or holds a run of another configuration."""


class StoreError(InstarError):
    """A target store that is damaged, unfinished, in use, from a newer version, or made from other data or teachers."""


class MismatchError(InstarError):
    """Two parts that do not fit together: teacher and student classes, a term and its targets, shapes."""


class NonFiniteError(InstarError):
    """A NaN or infinite loss or weight; the message names the step, the term and the last good checkpoint."""


def say(text: str) -> None:
    """Print a text on stderr."""
    stream = sys.stderr  # noqa: TID251 (all of Instar prints here)
    if stream is not None:  # some servers run without stderr
        with suppress(OSError, ValueError):  # stderr is closed, or its terminal is gone
            print(text, file=stream, flush=True)


def one_line(text: object) -> str:
    r"""Return a text with line ends, escape sequences and other invisible characters escaped.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in str(text)
    )


def as_sentence(text: object) -> str:
    """Return a text on one line, with long quoted values and long texts cut in the middle.

    >>> len(as_sentence(f"expected a name, found '{'x' * 5000}'."))
    324
    """
    # values first, so that a long one does not push the advice at the end out of the sentence
    line = _QUOTED.sub(lambda found: without_middle(found[0], MAX_VALUE_CHARACTERS), one_line(text))
    return without_middle(line, MAX_SENTENCE_CHARACTERS)


def without_middle(text: str, characters: int) -> str:
    """Shorten a text to at most `characters`: its beginning, three dots, and its end.

    >>> without_middle("abcdefghijklmnopqrst", 11)
    'abcdef...st'
    """
    if len(text) <= characters:
        return text
    end = characters // 4  # the beginning tells more, but a long path ends with its name
    return f"{text[: characters - end - 3]}...{text[len(text) - end :]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the known word closest to `word`, or all known words.

    >>> nearest("temprature", ["temperature", "epochs"])
    "did you mean 'temperature'?"
    >>> nearest("x", ["a", "b"])
    'known are: a, b.'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known are: {', '.join(names)}."


def name_samples(ids: list[int]) -> str:
    """Return the ids of samples in words, at most ten of them.

    >>> name_samples([3]), name_samples([3, 5])
    ('sample 3', '2 samples (ids 3, 5)')
    """
    if len(ids) == 1:
        return f"sample {ids[0]}"
    return f"{len(ids):,} samples (ids {', '.join(map(str, ids[:10]))}{', ...' if len(ids) > 10 else ''})"


def shortened(reason: object, most: int = 200) -> str:
    r"""Return the first line of an error's message, without its full stop and cut to `most` characters.

    >>> shortened(ValueError("it is broken.\nbecause"))
    'it is broken'
    >>> shortened("x" * 300, most=5)
    'xxxxx...'
    """
    # some errors have no message, and those of libraries may have pages
    text = (str(reason).strip() or type(reason).__name__).split("\n")[0].strip().rstrip(".")
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: most + 1])
    return text if len(text) <= most else f"{text[:most]}..."
