"""Values that users give for each split, beside inputs and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instar.errors import DataError


def match_splits(sources: Mapping[str, Any], given: Any, noun: str, example: str) -> dict[str, Any]:
    """Return by split what was given for it, without the splits that have none.

    Args:
        sources: sources by split.
        given: values by split, a pair (train, test), or the values of a single source.
        noun: what is given, for error messages.
        example: how it is given, for error messages.

    Raises:
        DataError: when a split is unknown, or it is not known which split the values are for.

    >>> match_splits({"train": ..., "test": ...}, ([1, 0], None), "mask", "mask={'train': ..., 'test': ...}")
    {'train': [1, 0]}
    """
    found: dict[str, Any]
    if isinstance(given, Mapping):
        found = dict(given)
    elif len(sources) == 1:
        found = dict.fromkeys(sources, given)
    elif isinstance(given, tuple) and len(given) == 2:
        found = dict(zip(("train", "test"), given, strict=True))
    else:
        raise DataError(f"expected one {noun} per split, {example}; use None for a split without.")
    unknown = [name for name in found if name not in sources]
    if unknown:
        raise DataError(f"the {noun} names an unknown split '{unknown[0]}'; the data have: {', '.join(sources)}.")
    return {split: values for split, values in found.items() if values is not None}
