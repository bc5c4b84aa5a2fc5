"""Born-again trees: the smallest tree that predicts the class of a forest for every row (Vidal and Schiffer 2020)."""

from __future__ import annotations

from typing import Any, Literal

from instar.checks import Count, checked
from instar.trees.arrays import TreeArrays
from instar.trees.boxes import Box
from instar.trees.grid import refuse_numbers
from instar.trees.reading import as_trees
from instar.trees.regions import Corner, Region, Regions, move_corner
from instar.trees.smallest import Part, Search
from instar.trees.writing import NodeWriter

Size = Literal["depth", "leaves", "depth then leaves"]


@checked
def make_born_again_tree(forest: Any, by: Size = "depth", *, max_boxes: Count = 1_000_000_000) -> TreeArrays:
    """Return the smallest tree that predicts the class of a forest for every row without missing values.

    Its leaves have the probability 1 for their class. Rows with missing values are refused, because a forest may send
    them ways that no cell goes. Memory is 1 byte for each box of cells for `depth`, 2 for
    `leaves`, and 2 for each level for `depth then leaves`.

    Args:
        forest: `TreeArrays`, or a fitted classifier that `as_trees` reads.
        by: `depth`, `leaves`, or `depth then leaves`: the fewest leaves among the trees of the smallest depth.
        max_boxes: most boxes of cells whose smallest trees are computed, without thresholds that change no class.

    Raises:
        MismatchError: when the forest predicts numbers, or needs more boxes; names its cells, its boxes, and what would
            do.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(5, max_depth=2, random_state=0).fit(x, y)
    >>> tree = make_born_again_tree(forest, "leaves")
    >>> as_trees(forest).leaf_count, tree.leaf_count, bool((forest.predict(x) == tree.classify(x)).all())
    (17, 18, True)
    """
    trees = as_trees(forest)
    refuse_numbers(trees)
    regions = Regions(trees)
    search = Search(regions, "leaves" if by == "leaves" else "depth", max_boxes)
    depth = None
    if by == "depth then leaves":
        depth = int(search.solve(regions.whole, regions.corner).size)
        search = Search(regions, "leaves", max_boxes)
    return _Follower(search).follow(depth)


class _Follower:
    """Follows the cuts of a search from the whole space to regions of one class, and writes them."""

    def __init__(self, search: Search) -> None:
        self.search, self.regions = search, search.regions
        self.writer = NodeWriter(search.regions.trees, search.regions.grid)

    def follow(self, depth: int | None) -> TreeArrays:
        self._write_region(self.regions.whole, self.regions.corner, depth)
        return self.writer.finish()

    def _write_region(self, region: Region, corner: Corner, depth: int | None) -> int:
        found = self.regions.find_class(region, corner)
        if found is not None:
            return self.writer.add_leaf(found)
        cut = self.search.solve(region, corner, depth).cut
        below = None if depth is None else depth - 1
        if cut is None:
            part = self.search.make_part(region, corner, depth)
            assert part is not None  # a table has the cut
            return self._write_box(part, part.trees.whole, depth)
        left, right = self.regions.cut(region, *cut)
        node = self.writer.add_cut(*cut)
        first = self._write_region(left, corner, below)
        return self.writer.join(node, first, self._write_region(right, move_corner(corner, *cut), below))

    def _write_box(self, part: Part, box: Box, depth: int | None) -> int:
        found = part.trees.find_class(box)
        if found is not None:
            return self.writer.add_leaf(found)
        (column, cell), left, right = part.trees.choose_cut(box, depth)
        below = None if depth is None else depth - 1
        node = self.writer.add_cut(part.places[column], int(part.cells[column][cell]))
        first = self._write_box(part, left, below)
        return self.writer.join(node, first, self._write_box(part, right, below))
