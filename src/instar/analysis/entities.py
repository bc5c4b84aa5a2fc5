"""Entities, such as names, that labels of words mark: B-PER begins one, I-PER continues it, and O is outside."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

OUTSIDE, BEGIN, INSIDE = "O", "B-", "I-"
"""The label outside of entities, and how those of their first and their other words begin."""


def mark_entities(classes: Sequence[str]) -> bool:
    """Return whether all classes are O, or the beginning or inside of an entity, with both of them there.

    >>> mark_entities(("O", "B-PER", "I-PER")), mark_entities(("O", "noun"))
    (True, False)
    """
    marked = [name for name in classes if name.startswith((BEGIN, INSIDE))]
    return OUTSIDE in classes and len(marked) == len(classes) - 1 > 0


def find_entities(labels: Tensor, sizes: Tensor, classes: Sequence[str]) -> set[tuple[int, int, str]]:
    """Return the entities of samples: first and last word, counted over all samples, and kind.

    An entity begins at B, or at I behind another kind, behind O or at the start of a sample, as in the CoNLL script.

    Args:
        labels: class of each word of all samples, int64 `[words]`.
        sizes: number of words of each sample, int64 `[samples]`.
        classes: class names; those that are neither B- nor I- are outside.

    >>> classes = ("O", "B-PER", "I-PER", "I-ORG")
    >>> sorted(find_entities(torch.tensor([1, 2, 2, 3, 0, 2, 2]), torch.tensor([6, 1]), classes))
    [(0, 2, 'PER'), (3, 3, 'ORG'), (5, 5, 'PER'), (6, 6, 'PER')]
    """
    kinds = [name[len(BEGIN) :] if name.startswith((BEGIN, INSIDE)) else None for name in classes]
    numbers = {kind: at for at, kind in enumerate(dict.fromkeys(kind for kind in kinds if kind is not None))}
    kind = torch.tensor([-1 if one is None else numbers[one] for one in kinds])[labels]
    begins = torch.tensor([name.startswith(BEGIN) for name in classes])[labels]
    is_first = torch.zeros(len(labels) + 1, dtype=torch.bool)
    is_first[sizes.cumsum(0) - sizes] = True
    before = torch.cat([torch.tensor([-1]), kind[:-1]])
    starts = (kind >= 0) & (begins | is_first[:-1] | (before != kind))
    # an entity ends before the next one, before a word outside, and at the end of its sample
    behind = torch.cat([kind[1:], torch.tensor([-1])])
    next_starts = torch.cat([starts[1:], torch.tensor([True])])
    is_last = torch.cat([is_first[1:-1], torch.tensor([True])])
    ends = (kind >= 0) & (next_starts | (behind != kind) | is_last)
    names = list(numbers)
    first, last = starts.nonzero()[:, 0].tolist(), ends.nonzero()[:, 0].tolist()
    return {(a, b, names[int(kind[a])]) for a, b in zip(first, last, strict=True)}
