"""Trees as arrays: predictions equal a walk by hand, broken arrays are refused, and files come back or are refused."""

import numpy as np
import pytest

from instar.errors import InstarError, MismatchError, RunError
from instar.trees import TreeArrays, read_trees, write_trees
from instar.trees.thresholds import largest_in_float32


def drawn_forest(seed, trees=3, depth=4, columns=5, outputs=3, **settings):
    """Return a forest of random trees of at most a depth, with nodes in the order of a walk."""
    draw = np.random.default_rng(seed)
    nodes = []

    def grow(level):
        number = len(nodes)
        nodes.append([-1, 0.0, -1, -1])
        if level < depth and draw.random() < 0.8:
            nodes[number][:2] = [int(draw.integers(columns)), float(draw.integers(8)) / 4]
            nodes[number][2], nodes[number][3] = grow(level + 1), grow(level + 1)
        return number

    roots = [grow(0) for _ in range(trees)]
    features, thresholds, left, right = (np.array(column) for column in zip(*nodes, strict=True))
    values = draw.dirichlet(np.ones(outputs), len(nodes))
    settings = {"missing_left": draw.random(len(nodes)) < 0.5, "allows_missing": True} | settings
    return TreeArrays(features, thresholds, left, right, values, roots, columns, **settings)


def walk_by_hand(trees, row, root):
    node = root
    while trees.features[node] != -1:
        cell = row[trees.features[node]]
        goes_left = trees.missing_left[node] if np.isnan(cell) else cell <= trees.thresholds[node]
        node = trees.left[node] if goes_left else trees.right[node]
    return node


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_leaves_and_means_equal_a_walk_by_hand(dtype):
    trees = drawn_forest(0)
    rows = np.random.default_rng(1).integers(0, 9, (200, 5)).astype(dtype)
    if dtype != "int64":
        rows = rows / np.dtype(dtype).type(4)
        rows[::7, 1] = np.nan
    leaves = np.array([[walk_by_hand(trees, row, root) for root in trees.roots] for row in rows.astype(float)])
    assert (trees.apply(rows) == leaves).all()
    assert (trees.predict(rows) == sum(trees.values[leaves[:, tree]] for tree in range(3)) / 3).all()
    assert (trees.classify(rows) == trees.predict(rows).argmax(1)).all()
    assert len(trees.apply(rows[:0])) == 0


@pytest.mark.parametrize("rounds", [False, True], ids=["float64", "float32"])
def test_compiled_code_finds_the_leaves_of_a_walk(rounds):
    trees = drawn_forest(6, trees=4, depth=6)
    if rounds:  # thresholds that cannot tell numbers which are equal in float32, as those of scikit-learn
        bounds = largest_in_float32((trees.thresholds + 0.1).astype(np.float32), strict=False)
        names = ("features", "left", "right", "values", "roots", "missing_left", "columns", "allows_missing")
        trees = TreeArrays(thresholds=bounds, **{name: getattr(trees, name) for name in names})
    assert trees._descent.rounds == rounds
    near = [
        np.nextafter(one, side) for one in (trees.thresholds, trees.thresholds.astype(np.float32)) for side in (-9, 9)
    ]
    picked = np.concatenate([*near, trees.thresholds, [np.nan, np.inf, -np.inf, 1e300, -1e300]])
    rows = np.random.default_rng(1).choice(picked, (2000, 5))
    for table in (rows, np.clip(rows, -9, 9).astype(np.float32)):
        few = np.concatenate([trees.apply(table[start : start + 100]) for start in range(0, len(table), 100)])
        assert (trees.apply(table) == few).all()
        assert len(np.unique(few)) > 20


def test_sums_start_with_the_base_and_single_leaves_need_no_column():
    trees = TreeArrays(
        [-1, -1], [0, 0], [-1, -1], [-1, -1], [[1], [2]], [0, 1], 2, combine="sum", meaning="logits", base=[0.5]
    )
    assert trees.predict([[0, 0]]).tolist() == [[3.5]]
    assert trees.depths.tolist() == [0, 0]


def test_rows_that_do_not_fit_are_refused():
    trees = drawn_forest(0, allows_missing=False, feature_names=tuple("abcde"))
    with pytest.raises(MismatchError, match=r"\[rows, 5\], got float64 of shape \[2, 3\]"):
        trees.predict(np.zeros((2, 3)))
    with pytest.raises(MismatchError, match="must be numbers"):
        trees.predict([list("abcde")])
    with pytest.raises(MismatchError, match="row 8193 has a missing value in column 'c'"):
        trees.predict(np.where(np.arange(8200 * 5).reshape(-1, 5) == 8193 * 5 + 2, np.nan, 0))


BROKEN = {
    "a column outside": ({"features": [2, -1, -1]}, "node 0 compares a column above the last, 1"),
    "no column": ({"features": [-2, -1, -1]}, "features of trees must be whole numbers from -1"),
    "columns that are no whole numbers": ({"features": [0.0, -1.0, -1.0]}, "must be whole numbers"),
    "a child outside": ({"right": [3, -1, -1]}, "right child above the last node, 2"),
    "a circle": ({"left": [0, -1, -1]}, "left child that does not come after it"),
    "a shared child": ({"right": [1, -1, -1]}, "node 1 belongs to two"),
    "a leaf with a child": ({"left": [1, 2, -1]}, "node 1 is a leaf and has a left child"),
    "an inner node without a child": ({"left": [-1, -1, -1]}, "does not come after it"),
    "a node of no tree": ({"roots": [1]}, "node 1 belongs to two"),
    "no tree": ({"roots": np.zeros(0, int)}, r"roots of trees must have the shape \[0\], all of at least 1"),
    "a root outside": ({"roots": [0, 3]}, "must be nodes from 0 to 2"),
    "a threshold that is not finite": ({"thresholds": [np.nan, 0, 0]}, "thresholds of trees must be finite"),
    "a value that is not finite": ({"values": [[1, 0], [1, 0], [np.inf, 0]]}, "values of trees must be finite"),
    "probabilities of another sum": ({"values": [[9, 9], [1, 0], [0.5, 0.6]]}, "node 2 is a leaf whose prob"),
    "too few thresholds": ({"thresholds": [0.5]}, r"thresholds of trees must have the shape \[3\]"),
    "another number of classes": ({"classes": ("a",)}, "classes of trees must be 2 different names, got 1"),
    "equal names": ({"feature_names": ("a", "a")}, "must be 2 different names"),
    "no columns": ({"columns": 0}, "must be a whole number of at least 1"),
    "another combination": ({"combine": "median"}, "by mean or sum"),
    "added probabilities": ({"combine": "sum"}, "probabilities of trees are averaged"),
}


@pytest.mark.parametrize(("change", "sentence"), BROKEN.values(), ids=BROKEN)
def test_broken_arrays_are_refused_in_one_sentence(change, sentence):
    whole = {
        "features": [0, -1, -1], "thresholds": [0.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1],
        "values": [[9, 9], [1, 0], [0, 1]], "roots": [0], "columns": 2,
    }  # fmt: skip
    TreeArrays(**whole)
    with pytest.raises(MismatchError, match=sentence):
        TreeArrays(**whole | change)


def test_a_file_comes_back_bit_for_bit(tmp_path):
    trees = drawn_forest(2, feature_names=("a", "b", "c", "d", "ü"), classes=("x", "y", "z"))
    found = read_trees(write_trees(trees, tmp_path / "new" / "trees.safetensors"))
    rows = np.random.default_rng(1).random((50, 5)) * 2
    assert (found.predict(rows) == trees.predict(rows)).all()
    assert (found.feature_names, found.classes, found.allows_missing) == (trees.feature_names, trees.classes, True)


def test_mutated_files_are_refused_or_predict_the_same(tmp_path):
    trees = drawn_forest(3, trees=2, depth=3)
    rows = np.random.default_rng(1).random((20, 5)) * 2
    path = write_trees(trees, tmp_path / "trees.safetensors")
    whole, wanted, draw = path.read_bytes(), trees.predict(rows), np.random.default_rng(4)
    refused = 0
    for _ in range(400):
        changed = bytearray(whole)
        for place in draw.integers(len(whole), size=draw.integers(1, 4)):
            changed[place] = draw.integers(256)
        start = draw.integers(len(whole)) if draw.random() < 0.2 else 0
        path.write_bytes(changed[: len(whole) - start])
        try:
            found = read_trees(path).predict(rows)
        except InstarError:
            refused += 1
        else:
            assert found.tobytes() == wanted.tobytes()
    assert refused > 390


def test_files_of_something_else_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("no tree")
    with pytest.raises(RunError, match="unreadable"):
        read_trees(tmp_path / "a.txt")
    with pytest.raises(RunError, match="missing"):
        read_trees(tmp_path / "b.safetensors")


def test_mutated_arrays_are_refused_or_end_in_a_leaf():
    whole = drawn_forest(5, trees=2, depth=3)
    names = ("features", "thresholds", "left", "right", "roots")
    rows, draw = np.random.default_rng(1).random((300, 5)) * 2, np.random.default_rng(4)  # enough for compiled code
    kept = 0
    for _ in range(2000):
        arrays = {name: getattr(whole, name).copy() for name in (*names, "values", "missing_left")}
        for name in draw.choice(names, draw.integers(1, 3)):
            array = arrays[name]
            array[draw.integers(len(array))] = draw.integers(-2, len(array) + 2)
        try:
            leaves = TreeArrays(**arrays, columns=5).apply(rows.astype(np.float32))
        except MismatchError:
            continue
        kept += 1
        assert (arrays["features"][leaves] == -1).all()
    assert 100 < kept < 1900  # another threshold is a tree, another child none
