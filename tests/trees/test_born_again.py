"""Born-again trees: equal to the forest on every cell, and as small as a search by hand through all trees finds."""

import functools

import numpy as np
import pytest
from tests.trees.test_arrays import drawn_forest
from tests.trees.test_equality import all_rows

from instar.errors import MismatchError
from instar.trees import TreeArrays, as_trees, boxes, equal, make_born_again_tree, smallest
from instar.trees.boxes import SmallestTrees, merge_cells
from instar.trees.grid import Grid


def table_by_hand(forest):
    rows = all_rows(forest)
    return forest.classify(rows).reshape([count + 1 for count in Grid(forest).last])


def smallest_by_hand(table):
    """Return the least depth, the fewest leaves, and the fewest leaves of that depth, by the definition alone."""

    def halves(box):
        for column, (first, last) in enumerate(box):
            for cell in range(first, last):
                yield tuple((*box[:column], part, *box[column + 1 :]) for part in ((first, cell), (cell + 1, last)))

    @functools.cache
    def is_pure(box):
        return len(np.unique(table[tuple(slice(first, last + 1) for first, last in box)])) == 1

    @functools.cache
    def depth(box):
        return 0 if is_pure(box) else 1 + min(max(depth(left), depth(right)) for left, right in halves(box))

    @functools.cache
    def leaves(box, most):
        if is_pure(box):
            return 1
        if most == 0:
            return np.inf
        return min(leaves(left, most - 1) + leaves(right, most - 1) for left, right in halves(box))

    whole = tuple((0, count - 1) for count in table.shape)
    return depth(whole), leaves(whole, 40), leaves(whole, depth(whole))


@pytest.fixture(params=["tables", "long rows", "regions"])
def way(request, monkeypatch):
    """Find trees in one table, with few inner boxes or many, and by cutting regions down to small tables."""
    most = {"tables": {"INNER_BOXES": 1, "NO_TREE": 5}, "long rows": {"INNER_BOXES": 20}, "regions": {}}[request.param]
    for name, value in most.items():
        monkeypatch.setattr(boxes, name, value)
    if request.param == "regions":
        for name, value in (("MAX_CELLS", 1), ("PART_CELLS", 30), ("PART_BOXES", 100)):
            monkeypatch.setattr(smallest, name, value)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("way")
def test_trees_are_as_small_as_by_hand_and_equal_on_every_cell(seed, classes):
    forest = drawn_forest(seed, trees=3, depth=3, columns=3, outputs=classes)
    rows = all_rows(forest)
    depth, leaves, leaves_of_depth = smallest_by_hand(table_by_hand(forest))
    sizes = {"depth": (depth, None), "leaves": (None, leaves), "depth then leaves": (depth, leaves_of_depth)}
    for by, (wanted_depth, wanted_leaves) in sizes.items():
        tree = make_born_again_tree(forest, by)
        assert (tree.classify(rows) == forest.classify(rows)).all()
        assert equal(tree, forest)
        assert tree.depths[0] == wanted_depth or wanted_depth is None
        assert tree.leaf_count == wanted_leaves or wanted_leaves is None
        assert not tree.allows_missing


def test_forests_of_libraries_become_one_tree_that_predicts_alike():
    ensemble = pytest.importorskip("sklearn.ensemble")
    xgboost = pytest.importorskip("xgboost")
    lightgbm = pytest.importorskip("lightgbm")
    draw = np.random.default_rng(0)
    x = np.round(draw.normal(size=(300, 3)))
    y = (x[:, 0] + x[:, 1] > 0) + 1 * (x[:, 2] > 1)
    few = {"n_estimators": 2, "max_depth": 2, "random_state": 0}
    for model in (
        ensemble.RandomForestClassifier(**few), ensemble.GradientBoostingClassifier(**few),
        xgboost.XGBClassifier(**few), lightgbm.LGBMClassifier(**few, verbose=-1),
    ):  # fmt: skip
        model.fit(x, y)
        tree = make_born_again_tree(model, "leaves")
        assert equal(tree, model)
        assert (tree.classify(x) == model.predict(x)).all()
        assert (len(tree.roots), tree.classes) == (1, ("0", "1", "2"))


def test_a_forest_that_is_too_large_is_refused_with_its_size():
    ensemble = pytest.importorskip("sklearn.ensemble")
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(300, 10)), draw.integers(0, 2, 300)
    forest = ensemble.RandomForestClassifier(10, max_depth=3, random_state=0).fit(x, y)
    with pytest.raises(
        MismatchError, match=r"more than max_boxes=10,000 boxes: its 7\d leaves cut .* cells and 10\^\d+ boxes"
    ):
        make_born_again_tree(forest, max_boxes=10_000)
    deep = ensemble.RandomForestClassifier(100, random_state=0).fit(x, y)
    with pytest.raises(MismatchError, match=r"needs a smaller forest: .* boxes of them; give fewer or less deep trees"):
        make_born_again_tree(deep)
    with pytest.raises(MismatchError, match="predict numbers"):
        make_born_again_tree(ensemble.RandomForestRegressor(3, random_state=0).fit(x, y))


def test_a_forest_of_one_class_is_one_leaf():
    tree = make_born_again_tree(drawn_forest(0, depth=0))
    assert (tree.leaf_count, tree.columns) == (1, 5)


def test_cells_that_are_alike_are_merged():
    table = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 1]], np.uint8)
    merged, kept = merge_cells(table)
    assert merged.tolist() == [[0, 1], [1, 1]]
    assert [own.tolist() for own in kept] == [[1], [1]]
    assert SmallestTrees(merged, "leaves").value(((0, 1), (0, 1))) == 3


def test_each_size_is_smallest_by_its_own_measure_for_ten_trees_of_depth_three():
    datasets, ensemble = pytest.importorskip("sklearn.datasets"), pytest.importorskip("sklearn.ensemble")
    x, y = datasets.load_iris(return_X_y=True)
    forest = as_trees(ensemble.RandomForestClassifier(10, max_depth=3, random_state=0).fit(x, y))
    depth, leaves, both = (make_born_again_tree(forest, by) for by in ("depth", "leaves", "depth then leaves"))
    assert depth.depths[0] == both.depths[0] <= leaves.depths[0]
    assert leaves.leaf_count <= both.leaf_count <= depth.leaf_count
    for tree in (depth, leaves, both):
        assert equal(tree, forest)


def test_a_forest_without_splits_has_a_tree_of_one_leaf_even_where_classes_tie():
    forest = TreeArrays([-1, -1], [0, 0], [-1, -1], [-1, -1], [[0.5, 0.5], [0.5, 0.5]], [0, 1], 2)
    for by in ("depth", "leaves", "depth then leaves"):
        tree = make_born_again_tree(forest, by)
        assert (tree.leaf_count, bool(equal(tree, forest))) == (1, True)
    one = TreeArrays([-1], [0], [-1], [-1], [[1.0]], [0], 2)
    with pytest.raises(MismatchError, match="know one class"):
        make_born_again_tree(one)
