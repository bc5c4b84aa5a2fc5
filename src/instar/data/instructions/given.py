"""Instructions given in Python: rows, tables and columns with prompts and completions, or messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from instar.data.array_values import as_pandas, is_table
from instar.data.instructions.forms import CONVERSATION, PAIR

if TYPE_CHECKING:
    import datasets


def rows_of_instructions(given: object) -> dict[str, datasets.Dataset] | None:
    """Return rows by split of instructions in Python; None for other data.

    Args:
        given: for each split by its name, as a pair (train, test), or only one: a list of rows, each a mapping; columns
            by name; or a table.

    >>> rows_of_instructions([[0.5], [0.1]]) is None
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
    if not all(map(_has_instructions, parts.values())):
        return None
    import datasets

    return {split: _as_rows(part, datasets) for split, part in parts.items()}


def _has_instructions(part: Any) -> bool:
    if is_table(part):
        names = set(map(str, part.columns))
    elif isinstance(part, list) and part and isinstance(part[0], Mapping):
        names = set(map(str, part[0]))
    elif isinstance(part, Mapping):
        names = set(map(str, part))
    else:
        return False
    return names >= set(PAIR) or names >= set(CONVERSATION)


def _as_rows(part: Any, library: Any) -> datasets.Dataset:
    if is_table(part):
        found: datasets.Dataset = library.Dataset.from_pandas(part, preserve_index=False)
    elif isinstance(part, list):
        found = library.Dataset.from_list(part)
    else:
        found = library.Dataset.from_dict(dict(part))
    return found
