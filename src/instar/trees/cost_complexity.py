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
    lefts, rights, parents = left.tolist(), right.tolist(), find_parents(left, right).tolist()
    # lists, because single numbers of arrays are slow
    counts, own, held_own = [1] * len(lefts), [float(cost) for cost in costs], [float(cost) for cost in held_out]
    below, held_below = own.copy(), held_own.copy()
    inner = np.flatnonzero(left >= 0).tolist()
    for node in reversed(inner):
        for sums in (counts, below, held_below):
            sums[node] = sums[lefts[node]] + sums[rights[node]]

    def strength(node: int) -> float:
        return float((own[node] - below[node]) / (counts[node] - 1))

    alive = [side >= 0 for side in lefts]
    queue = [(strength(node), node) for node in inner]
    heapq.heapify(queue)
    order: list[int] = []
    best, kept = held_below[0], 0
    while queue:
        found, node = queue[0]
        if alive[node] and (now := strength(node)) > found:
            heapq.heapreplace(queue, (now, node))  # no split gets weaker when another below it collapses
            continue
        heapq.heappop(queue)
        if not alive[node]:
            continue  # collapsed with a split above it
        _forget(node, lefts, rights, alive)
        change, held_change = own[node] - below[node], held_own[node] - held_below[node]
        removed, above = counts[node] - 1, node
        while above >= 0:
            counts[above] -= removed
            below[above] += change
            held_below[above] += held_change
            above = parents[above]
        order.append(node)
        if held_below[0] <= best:
            best, kept = held_below[0], len(order)
    leaves = np.zeros(len(lefts), bool)
    leaves[order[:kept]] = True
    return leaves


def find_parents(left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the node above each node; -1 above the root."""
    parents, inner = np.full(len(left), -1, np.int64), np.flatnonzero(left >= 0)
    parents[left[inner]] = parents[right[inner]] = inner
    return parents


def _forget(node: int, left: list[int], right: list[int], alive: list[bool]) -> None:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if alive[one]:
            alive[one] = False
            waiting += [left[one], right[one]]


def add_up(values: Floats, left: NDArray[np.int32], right: NDArray[np.int32]) -> Floats:
    """Return values of leaves with their sums at the nodes above them, `[nodes, ...]`.

    >>> add_up(np.array([0.0, 0, 2, 3, 4]), np.array([1, 3, -1, -1, -1]), np.array([2, 4, -1, -1, -1])).tolist()
    [9.0, 7.0, 2.0, 3.0, 4.0]
    """
    found, levels, level = values.copy(), list[NDArray[np.intp]](), np.flatnonzero(left[:1] >= 0)
    while len(level):
        levels.append(level)
        below = np.concatenate([left[level], right[level]])
        level = below[left[below] >= 0]
    for level in reversed(levels):
        found[level] = found[left[level]] + found[right[level]]
    return found
