"""Inputs of which each sample has several texts one behind the other, without attention between them."""

from __future__ import annotations

from collections.abc import Iterable

PACKED_INPUTS = ("input_ids", "position_ids")
"""Names of tokens and positions, int `[batch, position]` each; every text begins at position 0.

Models of Transformers tell texts apart by their positions where they are given no mask.
"""


def are_packed(names: Iterable[object]) -> bool:
    """Return whether inputs by name, or their names, are those of packed texts.

    >>> are_packed({"input_ids": (8,), "position_ids": (8,)}), are_packed((8,))
    (True, False)
    """
    return set(names) == set(PACKED_INPUTS)
