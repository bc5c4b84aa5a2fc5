"""What can go wrong, as types that a caller can catch; the messages are sentences for people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InstarError(ValueError):
    """Something the user can mend. The command line prints the sentence and exits with code 2."""


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
