"""Cost-complexity pruning: the subtrees of Breiman et al. 1984, and the one that is best on other samples."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def find_best_subtree(
    left: NDArray[np.int32], right: NDArray[np.int32], costs: Floats, held_out: Floats
) -> NDArray[np.bool_]:
    """Return which nodes become leaves, so that the loss on held-out samples is least; the smaller of equal subtrees.

    The subtrees are those that collapse, again and again, the split t with the least
    (R(t) - R(leaves below t)) / (number of leaves below t - 1), where R is the loss of the training samples.

    Source: Breiman, Friedman, Olshen and Stone 1984, "Classification and regression trees", section 3.3.

    Args:
        left: left child of each node, which comes after it; -1 at a leaf. Node 0 is the root.
        right: right child.
        costs: loss of the training samples of each node if it were a leaf, `[nodes]`.
        held_out: loss of other samples, likewise.

    >>> left, right = np.array([1, 3, -1, -1, -1]), np.array([2, 4, -1, -1, -1])
    >>> find_best_subtree(left, right, np.array([9.0, 4, 2, 1, 1]), np.array([9.0, 3, 2, 2, 2])).tolist()
    [False, True, False, False, False]
    """
    parents, counts = find_parents(left, right), np.ones(len(left), np.int64)
    below, held_below = costs.copy(), held_out.copy()
    for node in range(len(left) - 1, -1, -1):
        if left[node] >= 0:
            for sums in (counts, below, held_below):
                sums[node] = sums[left[node]] + sums[right[node]]

    def strength(node: int) -> float:
        return float((costs[node] - below[node]) / (counts[node] - 1))

    alive = left >= 0
    queue = [(strength(node), node) for node in np.flatnonzero(alive).tolist()]
    heapq.heapify(queue)
    order: list[int] = []
    best, kept = float(held_below[0]), 0
    while queue:
        found, node = heapq.heappop(queue)
        if not alive[node] or found != strength(node):
            continue  # collapsed with a split above it, or its strength has changed since
        _forget(node, left, right, alive)
        changes = [(sums, own - sums[node]) for sums, own in ((below, costs[node]), (held_below, held_out[node]))]
        removed, above = counts[node] - 1, node
        while above >= 0:
            counts[above] -= removed
            for sums, change in changes:
                sums[above] += change
            if alive[above]:
                heapq.heappush(queue, (strength(above), above))
            above = int(parents[above])
        order.append(node)
        if held_below[0] <= best:
            best, kept = float(held_below[0]), len(order)
    leaves = np.zeros(len(left), bool)
    leaves[order[:kept]] = True
    return leaves


def find_parents(left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the node above each node; -1 above the root."""
    parents, inner = np.full(len(left), -1, np.int64), np.flatnonzero(left >= 0)
    parents[left[inner]] = parents[right[inner]] = inner
    return parents


def _forget(node: int, left: NDArray[np.int32], right: NDArray[np.int32], alive: NDArray[np.bool_]) -> None:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if alive[one]:
            alive[one] = False
            waiting += [int(left[one]), int(right[one])]
