"""The best constant number of groups of examples, such as leaves, for any convex loss of its distance from numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.trees.cost_complexity import find_parents

Floats = NDArray[np.float64]

HALVINGS = 50
"""Halvings of the interval that holds the best number: rounding leaves no more."""
TOLERANCE = 1e-9
"""Slope, as a share of the weights, that rounding may leave where the loss is flat."""


@dataclass(frozen=True, eq=False)
class Distances:
    """The numbers of groups of examples, for a loss that is no mean of them, such as that of a quantile.

    Args:
        of_distances: convex loss of each distance z - y, which autograd differentiates.
        numbers: y, `[entries]`.
        weights: weight of each entry, `[entries]`.
        groups: group of each entry, int64 `[entries]`.
        count: number of groups.
    """

    of_distances: Callable[[Tensor], Tensor]
    numbers: Floats
    weights: Floats
    groups: NDArray[np.integer]
    count: int

    temperature = None

    def within(self, groups: NDArray[np.integer], number: int) -> Distances:
        """Return the numbers of larger groups: `groups` has the new group of each old one."""
        return replace(self, groups=groups[self.groups], count=number)

    def at(self, groups: slice | NDArray[np.integer]) -> Distances:
        """Return the numbers of some groups."""
        chosen = np.arange(self.count)[groups]
        places = np.full(self.count, -1)
        places[chosen] = np.arange(len(chosen))
        return self._of(places[self.groups] >= 0, places[self.groups], len(chosen))

    def times(self, factors: Floats) -> Distances:
        """Return the numbers with each group counted `factors` times."""
        return replace(self, weights=self.weights * factors[self.groups])

    def above(self, left: NDArray[np.int32], right: NDArray[np.int32]) -> Distances:
        """Return the numbers of all nodes of a tree, of groups that are its leaves."""
        parents, at = find_parents(left, right), self.groups
        entries, nodes, which = [], [], np.arange(len(at))
        while len(which):
            entries.append(which)
            nodes.append(at)
            is_inside = parents[at] >= 0
            which, at = which[is_inside], parents[at[is_inside]]
        return self._of(np.concatenate([*entries, which]), np.concatenate([*nodes, at]), len(left), chosen=True)

    def _of(self, entries: NDArray[Any], groups: NDArray[np.integer], count: int, *, chosen: bool = False) -> Distances:
        groups = groups if chosen else groups[entries]
        return replace(self, numbers=self.numbers[entries], weights=self.weights[entries], groups=groups, count=count)

    @property
    def strengths(self) -> Floats:
        """Sum of the weights, `[groups]`."""
        return self._add(self.weights)

    def losses(self, values: Floats) -> Floats:
        """Return the sum of the losses of each group at its number, `[groups]`; numbers are `[groups, 1]`."""
        return self._add(self.weights * self.of_distances(self._from(values)).numpy())

    def gradient(self, values: Floats) -> Floats:
        """Return the derivative of `losses`, `[groups, 1]`."""
        distances = self._from(values).requires_grad_()
        with torch.enable_grad():
            (slopes,) = torch.autograd.grad(self.of_distances(distances).sum(), distances)
        return self._add(self.weights * slopes.numpy())[:, None]

    def pull(self, values: Floats) -> Floats:
        """Return the derivative of half the squared distances, which splits are grown on, `[groups, 1]`.

        The derivative of a quantile's loss tells only the side on which an example is, and no split could tell a little
        from a lot. Quantile regression forests (Meinshausen 2006) are grown on squares too.
        """
        return self._add(self.weights * self._from(values).numpy())[:, None]

    def ends(self) -> tuple[Floats, Floats]:
        """Return the least and the largest number of each group, `[groups, 1]`; 0 where it has none."""
        least, most = np.full(self.count, np.inf), np.full(self.count, -np.inf)
        told = self.weights > 0
        np.minimum.at(least, self.groups[told], self.numbers[told])
        np.maximum.at(most, self.groups[told], self.numbers[told])
        is_empty = least > most
        least[is_empty] = most[is_empty] = 0.0
        return least[:, None], most[:, None]

    def _from(self, values: Floats) -> Tensor:
        return torch.from_numpy(values[self.groups, 0] - self.numbers)

    def _add(self, values: Floats) -> Floats:
        found: Floats = np.bincount(self.groups, values, self.count).astype(np.float64)  # whole where there is none
        return found


def bisect(sums: Sequence[Any]) -> Floats:
    """Return the number with the least sum of losses of each group, `[groups, 1]`: the middle of equal ones.

    The slope of a convex loss never falls, so the best numbers are between the first without a negative slope and the
    last without a positive one.

    Args:
        sums: terms, each with `ends`, between which the number is that is best for it alone, and with `gradient`.

    >>> ours = Distances(lambda d: d.abs(), np.array([1.0, 2.0, 4.0, 9.0]), np.ones(4), np.array([0, 0, 0, 0]), 1)
    >>> bisect([ours]).tolist()
    [[3.0]]
    """
    each = [one.ends() for one in sums]
    lowest, highest = np.min([low for low, _ in each], axis=0), np.max([high for _, high in each], axis=0)
    slack = TOLERANCE * sum(one.strengths for one in sums)[:, None]
    found: list[Floats] = []
    for sign in (1, -1):
        low, high = lowest.copy(), highest.copy()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            slope = sum(one.gradient(middle) for one in sums)
            ends_here = slope >= -slack if sign == 1 else slope > slack
            high, low = np.where(ends_here, middle, high), np.where(ends_here, low, middle)
        found.append(high if sign == 1 else low)
    best: Floats = (found[0] + found[1]) / 2
    return best
