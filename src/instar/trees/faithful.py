"""A tree that equals a forest everywhere, grown by information gain in seconds where the smallest takes too long."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.checks import Count, Natural, checked
from instar.trees.arrays import TreeArrays
from instar.trees.grid import Cells, refuse_numbers
from instar.trees.reading import as_trees
from instar.trees.regions import Region, Regions
from instar.trees.writing import NodeWriter


@checked
def grow_faithful_tree(forest: Any, *, samples: Count = 1000, seed: Natural = 0) -> TreeArrays:
    """Return a tree that predicts the class of a forest for every row without missing values; not the smallest one.

    Each region of several classes is cut where `samples` of its cells gain most information about the class (Vidal and
    Schiffer 2020, section 6). A region becomes a leaf only after a proof that it has one class, by bounds and by cuts,
    so no solver is needed.

    Args:
        forest: `TreeArrays`, or a fitted classifier that `as_trees` reads.
        samples: cells that are drawn in each region.
        seed: seed of these draws.

    Raises:
        MismatchError: when the forest predicts numbers, or has too many regions to prove anything about.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from instar.trees import equal
    >>> x, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(20, max_depth=3, random_state=0).fit(x, y)
    >>> bool(equal(grow_faithful_tree(forest), forest))
    True
    """
    trees = as_trees(forest)
    refuse_numbers(trees)
    return _Grower(Regions(trees), samples, seed).grow()


class _Grower:
    def __init__(self, regions: Regions, samples: int, seed: int) -> None:
        self.regions, self.samples, self.draw = regions, samples, np.random.default_rng(seed)
        self.writer = NodeWriter(regions.trees, regions.grid)

    def grow(self) -> TreeArrays:
        self._write(self.regions.whole, np.array(self.regions.corner, np.int32), self.regions.grid.last)
        return self.writer.finish()

    def _write(self, region: Region, low: NDArray[np.int32], high: NDArray[np.int32]) -> int:
        found = self.regions.find_class(region, tuple(map(int, low)))
        if found is not None:
            return self.writer.add_leaf(found)
        place, cell = self._choose_cut(region, low, high)
        left, right = self.regions.cut(region, place, cell)
        node = self.writer.add_cut(place, cell)
        end, start = high.copy(), low.copy()
        end[place], start[place] = cell, cell + 1
        first = self._write(left, low, end)
        return self.writer.join(node, first, self._write(right, start, high))

    def _choose_cut(self, region: Region, low: NDArray[np.int32], high: NDArray[np.int32]) -> tuple[int, int]:
        """Return the cut with the least expected entropy of the class; among equal ones, that nearest the middle."""
        cells: Cells = self.draw.integers(low, high + 1, (self.samples, len(low)), dtype=np.int32)
        trees, best = self.regions.trees, (np.inf, np.inf, 0, 0)
        classes = trees.classify(self.regions.grid.rows(cells))
        for place, cuts in enumerate(self.regions.find_cuts(region)):
            if not cuts:
                continue
            counts = np.zeros((int(high[place] - low[place]) + 1, trees.outputs))
            np.add.at(counts, (cells[:, place] - low[place], classes), 1)
            below = counts.cumsum(0)[np.array(cuts) - low[place]]
            entropies = _sum_entropy(below) + _sum_entropy(counts.sum(0) - below)
            middle = np.abs(below.sum(1) - self.samples / 2)
            number = int(np.lexsort((middle, np.round(entropies, 9)))[0])
            best = min(best, (round(float(entropies[number]), 9), float(middle[number]), place, cuts[number]))
        return best[2], best[3]


def _sum_entropy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of the classes of each row of counts, times its number of samples."""
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    found: NDArray[np.float64] = -(counts * np.log(np.where(shares > 0, shares, 1))).sum(1)
    return found
