"""Draws of samples that keep the share of each class."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_stratified(labels: Tensor, count: int, generator: torch.Generator, *, least_left: int = 0) -> Tensor:
    """Return the places of `count` samples drawn at random with the share of each class, in order, int64.

    Each class has at least one of them if there are as many as classes. Samples without a label are one more class.

    Args:
        labels: label of each sample, `[n]`.
        count: number of samples to draw; fewer are drawn where too few may be.
        generator: generator of the draw.
        least_left: number of samples of each class that are not drawn.

    >>> labels = torch.tensor([0] * 12 + [1] * 4)
    >>> draw_stratified(labels, 4, torch.Generator().manual_seed(0))
    tensor([ 6,  9, 10, 12])
    """
    counts = labels.unique(return_counts=True)[1]
    order = torch.randperm(len(labels), generator=generator)
    # all samples of a class one behind the other, in random order
    members = order[labels[order].argsort(stable=True)].split(counts.tolist())
    sizes = allocate(counts, count, least_left).tolist()
    return torch.cat([of_class[:size] for of_class, size in zip(members, sizes, strict=True)]).sort().values


def allocate(counts: Tensor, total: int, least_left: int = 0) -> Tensor:
    """Return how many of `total` draws each class has: its share, rounded so that the sum is right, at least one.

    Args:
        counts: number of samples of each class, int64 `[classes]`.
        total: number of draws.
        least_left: number of samples of each class that must be left.

    >>> allocate(torch.tensor([90, 9, 1]), 10), allocate(torch.tensor([90, 9, 1]), 10, least_left=1)
    (tensor([8, 1, 1]), tensor([9, 1, 0]))
    """
    most = (counts - least_left).clamp(min=0)
    total = min(total, int(most.sum()))
    wanted = total * counts.double() / counts.sum()
    found = wanted.floor().long().minimum(most)
    can_have = most > 0
    if total >= int(can_have.sum()):
        found = found.maximum(can_have.long())
    least = found.clamp(max=1)
    # one at a time, so that the class furthest from its share changes first
    while (missing := total - int(found.sum())) != 0:
        gaps = wanted - found
        if missing > 0:
            found[gaps.masked_fill(found >= most, -torch.inf).argmax()] += 1
        else:
            found[gaps.masked_fill(found <= least, torch.inf).argmin()] -= 1
    return found
