"""What a finished run has beside its result: measurements that may fail, and then never cost the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from instar.errors import RunError, say, shortened


@contextmanager
def extra(what: str, notes: list[str]) -> Iterator[None]:
    """Turn a failure into a note and a line on stderr, but for a full disk, which would fail the result too.

    Args:
        what: is measured or kept, as it begins a sentence.
        notes: takes the sentence.

    >>> notes = []
    >>> with extra("The cost", notes):
    ...     raise ValueError("there is no clock.")
    >>> notes
    ['The cost is missing: there is no clock.']
    """
    try:
        yield
    except RunError:
        raise
    except Exception as error:  # of code of the user's, or of a measurement that does not fit it
        notes.append(f"{what} is missing: {shortened(error)}.")
        say(f"instar: {notes[-1]}")
