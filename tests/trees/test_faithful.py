"""Faithful trees equal their forest on every cell, and pruning changes nothing where there are rows."""

import numpy as np
import pytest
from tests.trees.test_arrays import drawn_forest
from tests.trees.test_equality import all_rows

from instar.errors import MismatchError
from instar.trees import TreeArrays, equal, grow_faithful_tree, make_born_again_tree, prune_empty_splits


@pytest.mark.parametrize("samples", [1, 300])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_faithful_tree_equals_its_forest_whatever_the_samples(classes, samples):
    for seed in range(5):
        forest = drawn_forest(seed, trees=4, depth=3, columns=3, outputs=classes)
        tree = grow_faithful_tree(forest, samples=samples, seed=seed)
        rows = all_rows(forest)
        assert (tree.classify(rows) == forest.classify(rows)).all()
        assert equal(tree, forest)
        assert tree.leaf_count >= make_born_again_tree(forest, "leaves").leaf_count


def test_a_faithful_tree_is_a_function_of_its_seed():
    forest = drawn_forest(7)
    first, again = (grow_faithful_tree(forest, samples=20, seed=3) for _ in range(2))
    assert first.thresholds.tobytes() == again.thresholds.tobytes()


@pytest.mark.parametrize("trees", [1, 3])
def test_pruned_trees_predict_alike_for_their_rows_and_every_node_has_some(trees):
    forest = drawn_forest(2, trees=trees, depth=6, missing_left=None, allows_missing=False)
    rows = np.random.default_rng(0).random((40, 5)) * 2
    pruned = prune_empty_splits(forest, rows)
    assert pruned.leaf_count < forest.leaf_count
    assert (pruned.predict(rows) == forest.predict(rows)).all()
    assert set(np.unique(pruned.apply(rows))) == set(np.flatnonzero(pruned.features == -1))
    assert prune_empty_splits(pruned, rows).leaf_count == pruned.leaf_count


def test_pruning_needs_rows():
    tree = TreeArrays([-1], [0], [-1], [-1], [[1, 0]], [0], 2)
    with pytest.raises(MismatchError, match="none are given"):
        prune_empty_splits(tree, np.zeros((0, 2)))
