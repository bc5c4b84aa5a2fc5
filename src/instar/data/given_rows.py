"""Rows given in Python that are read as those of files: instructions, and words with a label each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from instar.data.array_values import as_pandas, is_table
from instar.data.instructions.forms import CONVERSATION, PAIR
from instar.data.word_sources import TAG_NAMES, WORD_NAMES

if TYPE_CHECKING:
    import datasets


def rows_of_lists(given: object) -> dict[str, datasets.Dataset] | None:
    """Return rows by split of instructions, or of words and their labels, in Python; None for other data.

    Args:
        given: for each split by its name, as a pair (train, test), or only one: a list of rows, each a mapping; columns
            by name; or a table.

    >>> rows_of_lists([[0.5], [0.1]]) is None
    True
    """
    parts: dict[str, Any]
    if isinstance(given, Mapping) and "train" in given:
        parts = {str(split): rows for split, rows in given.items()}
    elif isinstance(given, tuple) and len(given) == 2:
        parts = dict(zip(("train", "test"), given, strict=True))
    else:
        parts = {"train": given}
    parts = {split: as_pandas(part) for split, part in parts.items()}
    if not all(_has_instructions(part) or _has_words(part) for part in parts.values()):
        return None
    import datasets

    return {split: _as_rows(part, datasets) for split, part in parts.items()}


def _has_instructions(part: Any) -> bool:
    names = _names_of(part)
    return names >= set(PAIR) or names >= set(CONVERSATION)


def _has_words(part: Any) -> bool:
    names = _names_of(part)
    words = [name for name in WORD_NAMES if name in names]
    if not words or not names & set(TAG_NAMES):
        return False
    values = [row.get(words[0]) for row in part] if isinstance(part, list) else list(part[words[0]])
    first = next((one for one in values if isinstance(one, list | tuple) and one), ())
    return any(isinstance(word, str) for word in first)  # others are numbers of tokens


def _names_of(part: Any) -> set[str]:
    if is_table(part):
        return set(map(str, part.columns))
    if isinstance(part, list):
        return set(map(str, part[0])) if part and isinstance(part[0], Mapping) else set()
    return set(map(str, part)) if isinstance(part, Mapping) else set()


def _as_rows(part: Any, library: Any) -> datasets.Dataset:
    if is_table(part):
        found: datasets.Dataset = library.Dataset.from_pandas(part, preserve_index=False)
    elif isinstance(part, list):
        found = library.Dataset.from_list(part)
    else:
        found = library.Dataset.from_dict(dict(part))
    return found
