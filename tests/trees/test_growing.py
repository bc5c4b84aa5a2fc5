"""Trees that are grown on manufactured rows: the same tree as by the words of the paper, node after node."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from instar.errors import MismatchError
from instar.trees import TreeArrays, as_trees, grow_on_manufactured_rows
from instar.trees.growing import find_split

ensemble = pytest.importorskip("sklearn.ensemble")
X = np.round(np.random.default_rng(0).normal(size=(120, 3)), 1)
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int) + (X[:, 1] > 1)
PER_NODE, MOST = 40, 500


@pytest.fixture(scope="module")
def forest():
    return as_trees(ensemble.RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, Y))


def make(first, count, seed=0):
    draws = [np.random.default_rng((seed, number)).integers(len(X), size=3) for number in range(first, first + count)]
    return np.take_along_axis(X, np.array(draws), 0)


STREAM = make(0, MOST)


def impurity(classes):
    return len(classes) - sum(Fraction(int((classes == one).sum()) ** 2, len(classes)) for one in set(classes.tolist()))


def best_split(rows, classes):
    """Return the first of the best splits, by fractions."""
    found = [
        (impurity(classes[rows[:, column] <= low]) + impurity(classes[rows[:, column] > low]), column, (low + high) / 2)
        for column in range(rows.shape[1])
        for low, high in itertools.pairwise(np.unique(rows[:, column]))
    ]
    return min(found)[1:] if found else None


def grow_by_hand(forest, inside):
    """Return (cost, counts, split, left, right) of the rows that `inside` holds; it reads the stream anew."""
    members, read = [], 0
    while len(members) < PER_NODE and read < MOST:
        members += [read] if inside(STREAM[read : read + 1])[0] else []
        read += 1
    rows = STREAM[members]
    classes = forest.classify(rows)
    counts = np.bincount(classes, minlength=3)
    cost = Fraction(len(rows) - int(counts.max()), read)
    split = best_split(rows, classes) if len(members) == PER_NODE and counts.max() < len(rows) else None
    if split is not None:
        column, threshold = split
        sides = [lambda x: inside(x) & (x[:, column] <= threshold), lambda x: inside(x) & (x[:, column] > threshold)]
        if all(side(X).any() for side in sides):
            return cost, counts, split, *(grow_by_hand(forest, side) for side in sides)
    return cost, counts, None


def best_pruned(node, rows, classes):
    """Return all (training cost, errors on held-out rows, leaves, tree) of the subtrees that pruning may reach."""
    cost, counts, split = node[:3]
    leaf = (float(cost), int((classes != counts.argmax()).sum()), 1, (counts, None))
    if split is None:
        return [leaf]
    goes_left = rows[:, split[0]] <= split[1]
    left, right = (
        best_pruned(child, rows[side], classes[side])
        for child, side in zip(node[3:], (goes_left, ~goes_left), strict=True)
    )
    both = [(a[0] + b[0], a[1] + b[1], a[2] + b[2], (counts, split, a[3], b[3])) for a in left for b in right]
    return [leaf, *both]


def test_a_tree_is_that_of_the_paper_grown_node_after_node(forest):
    by_hand = grow_by_hand(forest, lambda x: np.ones(len(x), bool))
    held_out = make(0, 300, seed=1)
    found = grow_on_manufactured_rows(forest, X, make, held_out, rows_per_node=PER_NODE, max_rows=MOST)
    # every cost-complexity subtree minimises cost + strength * leaves for some strength
    subtrees = best_pruned(by_hand, held_out, forest.classify(held_out))
    assert found.leaves_before_pruning == max(one[2] for one in subtrees) > 5
    assert found.rows_made == MOST
    tree = found.tree
    errors = int((tree.classify(held_out) != forest.classify(held_out)).sum())
    strengths = np.concatenate([[0], np.logspace(-5, 0, 400)])
    reached = {id(min(subtrees, key=lambda one: (one[0] + s * one[2], one[2]))): s for s in strengths}
    best = min((one[1], one[2]) for one in subtrees if id(one) in reached)
    assert (errors, tree.leaf_count) == best

    def compare(node, wanted):
        counts, split, *children = wanted
        assert tree.values[node].tolist() == (counts / counts.sum()).tolist()
        if split is None:
            assert tree.features[node] == -1
            return
        assert (int(tree.features[node]), float(tree.thresholds[node])) == split
        compare(tree.left[node], children[0])
        compare(tree.right[node], children[1])

    compare(0, next(one[3] for one in subtrees if id(one) in reached and (one[1], one[2]) == best))
    assert (np.bincount(tree.apply(X)[:, 0], minlength=len(tree.features))[tree.features == -1] > 0).all()


def test_the_split_is_the_first_of_the_best_by_fractions():
    draw = np.random.default_rng(1)
    for _ in range(60):
        rows = draw.integers(0, 4, (draw.integers(2, 12), 3)) / 4
        classes = draw.integers(0, 3, len(rows))
        assert find_split(rows, classes) == best_split(rows, classes)
    close = np.array([[1.0], [np.nextafter(1, 2)]])  # with no number between them
    assert find_split(close, np.array([0, 1])) == (0, 1.0)
    assert find_split(np.array([[-1.7e308], [1.7e308]]), np.array([0, 1])) == (0, -1.7e308)


def test_rows_that_do_not_fit_are_refused(forest):
    held_out = make(0, 5)
    for rows, sentence in (
        (X[:0], "got 0 rows"),
        (X[:, :2], r"of shape \[rows, 3\]"),
        (np.full((2, 3), np.nan), "missing"),
    ):
        with pytest.raises(MismatchError, match=sentence):
            grow_on_manufactured_rows(forest, rows, make, held_out)
    numbers = TreeArrays([-1], [0], [-1], [-1], [[1.0]], [0], 3, meaning="numbers")
    with pytest.raises(MismatchError, match="predict numbers"):
        grow_on_manufactured_rows(numbers, X, make, held_out)
