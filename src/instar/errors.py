"""What can go wrong, as types that a caller can catch; the messages are sentences for people."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from contextlib import suppress

MAX_VALUE_CHARACTERS = 300
"""Of a quoted value in a sentence. The longest path of a usual file system's name fits."""

MAX_SENTENCE_CHARACTERS = 900
"""Of a whole sentence, which a terminal shows on one screen."""

_QUOTED = re.compile(rf"'[^']{{{MAX_VALUE_CHARACTERS},}}'|\"[^\"]{{{MAX_VALUE_CHARACTERS},}}\"")


class InstarError(ValueError):
    """Something the user can mend. The command line prints the sentence and exits with code 2.

    A sentence quotes what the user gave, which may be anything. So it is kept to one line, and long values lose their
    middle, here and nowhere else.

    >>> str(InstarError(f"the folder '{'x' * 5000}' is missing."))[:40]
    "the folder 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    >>> len(str(InstarError("x" * 5000)))
    900
    """

    def __init__(self, sentence: object = "") -> None:
        super().__init__(as_sentence(sentence))


class ConfigError(InstarError):
    """A setting that is unknown, of the wrong type, or outside its range."""


class DataError(InstarError):
    """Data that cannot be found, read, or understood."""


class RunError(InstarError):
    """A run folder that is damaged, from a newer version, in use, or of another configuration."""


class StoreError(InstarError):
    """A target store that is damaged, unfinished, from a newer version, in use, or made from something else."""


class MismatchError(InstarError):
    """Two parts that do not fit: classes of teacher and student, needs of a term, shapes."""


class NonFiniteError(InstarError):
    """A loss or a weight became NaN or infinite; names the step, the term and the last good checkpoint."""


def say(text: str) -> None:
    """Print a text on stderr, where there is one that takes it: some servers have none, and a terminal may be gone."""
    stream = sys.stderr  # noqa: TID251 (the one place)
    if stream is not None:
        with suppress(OSError, ValueError):  # closed, or its reader is gone
            print(text, file=stream, flush=True)


def one_line(text: object) -> str:
    r"""Return a text with its line ends, escape sequences and other invisible characters written out.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in str(text)
    )


def as_sentence(text: object) -> str:
    """Return a text in one line, in which neither a quoted value nor the whole is too long to read.

    >>> len(as_sentence(f"expected a name, found '{'x' * 5000}'."))
    324
    """
    line = _QUOTED.sub(lambda found: without_middle(found[0], MAX_VALUE_CHARACTERS), one_line(text))
    return without_middle(line, MAX_SENTENCE_CHARACTERS)


def without_middle(text: str, characters: int) -> str:
    """Return a text of at most so many characters: its beginning, its end, and dots for what is left out.

    >>> without_middle("abcdefghijklmnopqrst", 11)
    'abcdef...st'
    """
    if len(text) <= characters:
        return text
    end = characters // 4
    return f"{text[: characters - end - 3]}...{text[len(text) - end :]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the known word closest to `word`, or all of them.

    >>> nearest("temprature", ["temperature", "epochs"])
    "did you mean 'temperature'?"
    >>> nearest("x", ["a", "b"])
    'known are: a, b.'
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known are: {', '.join(names)}."


def shortened(reason: object, most: int = 200) -> str:
    r"""Return the first line of a reason without its full stop, cut where it is long: what others raise may hold bytes.

    >>> shortened(ValueError("it is broken.\nbecause"))
    'it is broken'
    >>> shortened("x" * 300, most=5)
    'xxxxx...'
    """
    text = (str(reason).strip() or type(reason).__name__).split("\n")[0].strip().rstrip(".")
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: most + 1])
    return text if len(text) <= most else f"{text[:most]}..."
