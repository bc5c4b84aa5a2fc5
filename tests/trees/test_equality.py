"""`equal` agrees with a comparison of every cell, and its row is one where both differ."""

import itertools

import numpy as np
import pytest
from tests.trees.test_arrays import drawn_forest

from instar.errors import MismatchError
from instar.trees import TreeArrays, as_trees, equal
from instar.trees.grid import Grid


def all_rows(*trees):
    """Return one row of every cell, by hand."""
    axes = []
    for column in range(trees[0].columns):
        own = np.unique(np.concatenate([one.thresholds[one.features == column] for one in trees]))
        axes.append([*own, own[-1] + 1] if len(own) else [0.0])
    return np.array(list(itertools.product(*axes)))


def with_value(trees, leaf, values):
    changed = trees.values.copy()
    changed[leaf] = values
    names = ("features", "thresholds", "left", "right", "roots", "missing_left")
    return TreeArrays(**{name: getattr(trees, name) for name in names}, values=changed, columns=trees.columns)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_verdict_is_that_of_all_cells(classes):
    verdicts = []
    for seed in range(30):
        forest = drawn_forest(seed, trees=3, depth=3, columns=3, outputs=classes)
        leaf = np.flatnonzero(forest.features == -1)[-1]
        other = with_value(forest, leaf, np.eye(classes)[seed % classes])
        rows = all_rows(forest)
        assert len(rows) == Grid(forest).cells
        truth = (forest.classify(rows) == other.classify(rows)).all()
        found = equal(forest, other)
        assert bool(found) == truth
        verdicts.append(truth)
        if not found:
            assert forest.classify([found.row])[0] == found.classes[0] != found.classes[1]
            assert other.classify([found.row])[0] == found.classes[1]
        assert equal(forest, forest)
    assert 3 < sum(verdicts) < 27


def test_ties_are_those_of_the_first_of_equal_classes():
    halves = TreeArrays([-1], [0], [-1], [-1], [[0.5, 0.5]], [0], 1)
    first, second = (TreeArrays([-1], [0], [-1], [-1], [values], [0], 1) for values in ([1, 0], [0, 1]))
    assert equal(halves, first)
    assert equal(halves, second).classes == (0, 1)


def test_forests_of_libraries_are_compared_and_others_refused():
    ensemble = pytest.importorskip("sklearn.ensemble")
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(300, 6)), draw.integers(0, 2, 300)
    forest, other = (ensemble.RandomForestClassifier(6, max_depth=3, random_state=seed).fit(x, y) for seed in (0, 1))
    assert equal(forest, as_trees(forest))
    found = equal(forest, other)
    assert not found
    assert forest.predict([found.row]) != other.predict([found.row])
    with pytest.raises(MismatchError, match="same columns to be compared, got 6 and 3"):
        equal(forest, ensemble.RandomForestClassifier(2, random_state=0).fit(x[:, :3], y))
    with pytest.raises(MismatchError, match="predict numbers"):
        equal(forest, ensemble.RandomForestRegressor(2, random_state=0).fit(x, y))
    with pytest.raises(MismatchError, match=r"more than 5 boxes of [0-9,]+ cells"):
        equal(forest, forest, max_boxes=5)
