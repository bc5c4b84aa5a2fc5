"""`instar born-again-tree`: a file of a forest into a file of one tree, which teaches and is evaluated."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

import instar as package
from instar.data.synthetic import Smearing
from instar.data.synthetic.grown_trees import grow_on_generated_rows
from instar.errors import ConfigError, MismatchError
from instar.exporting import tree_files
from instar.models.questions import ask_numbers
from instar.sklearn import BornAgainClassifier
from instar.trees import TreeArrays, as_trees, read_trees, write_trees

ensemble = pytest.importorskip("sklearn.ensemble")
X = np.round(np.random.default_rng(0).normal(size=(300, 4)), 1)
Y = np.array(["no", "yes"])[(X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)]
DATA = {"rows": (X[:200], Y[:200], X[200:], Y[200:])}


@pytest.fixture(scope="module")
def forest():
    return ensemble.RandomForestClassifier(4, max_depth=3, random_state=0).fit(X[:200], Y[:200])


@pytest.fixture
def file(tmp_path, forest):
    return write_trees(as_trees(forest), tmp_path / "forest.safetensors")


def test_a_forest_becomes_one_tree_that_has_its_errors(instar, tmp_path, file, forest):
    sizes = {}
    for by in ("depth", "leaves", "depth then leaves", "samples"):
        out = tmp_path / f"{by}.safetensors"
        code, printed, err = instar("born-again-tree", file, "--out", out, "--by", by, "--json")
        assert code == 0, err
        sizes[by] = json.loads(printed)
        assert (read_trees(out).classify(X) == as_trees(forest).classify(X)).all()
        assert read_trees(out).classes == ("no", "yes")
    assert sizes["depth"]["depth"] == sizes["depth then leaves"]["depth"] <= sizes["leaves"]["depth"]
    assert sizes["leaves"]["leaves"] <= sizes["depth then leaves"]["leaves"] <= sizes["depth"]["leaves"]
    data = package.load_data(DATA["rows"])
    assert package.evaluate(out, data)["errors"] == (forest.predict(X[200:]) != Y[200:]).sum()
    student = package.distill(data, str(out), package.models.MLP([4]), out=tmp_path / "student", epochs=1, show=False)
    assert student.config["teachers"]


def test_a_tree_is_made_and_evaluated_with_one_table_and_exported(instar, tmp_path, file):
    table = pandas.DataFrame(X, columns=list("abcd"))
    named = ensemble.RandomForestClassifier(4, max_depth=3, random_state=0).fit(table[:200], Y[:200])
    file = write_trees(as_trees(named), tmp_path / "named.safetensors")
    table.assign(left=Y).to_csv(tmp_path / "table.csv", index=False)
    out, read = tmp_path / "tree.safetensors", ["--set", "data.label_column=left", "--set", "data.test=0.2"]
    given = ["--data", tmp_path / "table.csv", *read]
    code, _, err = instar("born-again-tree", file, "--out", out, "--by", "leaves", "--prune", *given)
    assert code == 0, err
    code, printed, err = instar("evaluate", out, *given, "--json")
    assert code == 0, err
    test = package.load_data(tmp_path / "table.csv", label_column="left", test=0.2).test
    tree = read_trees(out)
    wrong = tree.classify(test.source.table.values.numpy()) != test.labels.numpy()
    assert json.loads(printed)["errors"] == wrong.sum() > 0
    for to, name in (("rules", "rules.txt"), ("python", "model.py")):
        code, printed, err = instar("export", out, "--to", to)
        assert (code, "1,000 rows at their thresholds" in printed) == (0, True), err
        assert (tmp_path / f"tree_{name}").exists()
    program: dict = {}
    exec((tmp_path / "tree_model.py").read_text(), program)
    draw = np.random.default_rng(0).permuted(np.concatenate([X, np.nextafter(X, 9)]), axis=0)
    found = [program["predict"](dict(zip("abcd", row, strict=True))) for row in draw.tolist()]
    assert found == [tree.classes[number] for number in tree.classify(draw)]
    lines = (tmp_path / "tree_rules.txt").read_text().splitlines()
    assert sum(line.strip() in ("no 100.00%", "yes 100.00%") for line in lines) == tree.leaf_count
    for place, threshold in zip(tree.features.tolist(), tree.thresholds.tolist(), strict=True):
        assert place < 0 or f"if {'abcd'[place]} <= {threshold!r}:" in map(str.strip, lines)
    again = BornAgainClassifier(named, "leaves").fit(table, Y)
    text = package.export(write_trees(again.tree_, tmp_path / "again.safetensors"), "rules").path
    assert Path(text).read_text() == again.rules() + "\n"
    for words, sentence in (
        (["export", out, "--to", "onnx"], "is written as python, c, rules"),
        (["export", out, "--to", "c", "--data", "digits"], "neither data nor a network"),
        (["evaluate", out, *given[:2], "--set", "seed=1"], "'seed' is no setting of the data"),
        (["evaluate", out, *read], "needs data; only a run folder"),
        (["born-again-tree", file, "--out", tmp_path / "new.safetensors", *read], "no data are given"),
    ):
        code, _, err = instar(*words)
        assert (code, err.count("\n"), sentence in err) == (2, 1, True), err


@pytest.mark.parametrize("to", ["python", "c", "rules"])
@pytest.mark.parametrize(("combine", "meaning"), [("mean", "probabilities"), ("sum", "logits"), ("sum", "numbers")])
def test_an_export_of_trees_compares_float64_numbers_and_missing_values(tmp_path, monkeypatch, to, combine, meaning):
    below = np.nextafter(0.1, 0)  # float32 would merge both
    tree = TreeArrays(
        [0, -1, 1, -1, -1, 0, -1, -1], [0.1, 0, np.finfo(float).max, 0, 0, below, 0, 0],
        [1, -1, 3, -1, -1, 6, -1, -1], [2, -1, 4, -1, -1, 7, -1, -1],
        [[0.5, 0.5], [1, 0], [0.5, 0.5], [0, 1], [0.25, 0.75], [0.5, 0.5], [0.125, 0.875], [0, 1]], [0, 5], 2,
        combine=combine, meaning=meaning, missing_left=[False, False, True, False, False, True, False, False],
        allows_missing=True,
    )  # fmt: skip
    file = write_trees(tree, tmp_path / "trees.safetensors")
    assert package.export(file, to, out=tmp_path / "made").difference <= 1e-6
    rows = np.array([[a, b] for a in (0.1, below, 0.2, np.nan) for b in (1.0, np.inf, np.nan)])
    found = ask_numbers(tree).predict(rows)
    assert np.allclose(np.exp(found) if meaning == "probabilities" else found, tree.predict(rows), atol=1e-12)
    right = tree_files.WRITERS[to]

    def write_rounding(*given):
        predict = right(*given)
        return lambda rows: predict(rows.float())

    monkeypatch.setitem(tree_files.WRITERS, to, write_rounding)
    with pytest.raises(MismatchError, match=r"at their thresholds, and the tolerance .* nothing was written"):
        package.export(file, to, out=tmp_path / "rounded")
    assert not (tmp_path / "rounded").exists()


def test_pruned_and_grown_trees_agree_with_the_forest_on_its_training_rows(tmp_path, forest):
    data = package.load_data(DATA["rows"], validation=0)
    rows, made = X[:200], {}
    for name, settings in (
        ("whole", {"by": "leaves"}),
        ("pruned", {"by": "leaves", "prune": True}),
        ("grown", {"by": "manufactured rows", "method": "Smearing(0.25)", "seed": 3}),
    ):
        out = tmp_path / f"{name}.safetensors"
        made[name] = package.born_again_tree(forest, out=out, data=data, **settings)
        same = read_trees(out).classify(rows) == as_trees(forest).classify(rows)
        assert made[name].agreement == same.mean()
    assert made["whole"].boxes > 0
    assert made["pruned"].boxes is made["grown"].boxes is None
    assert made["whole"].agreement == made["pruned"].agreement == 1 > made["grown"].agreement > 0.9
    assert made["pruned"].leaves < made["whole"].leaves
    by_hand = grow_on_generated_rows(forest, rows, Smearing(0.25), seed=3).tree
    assert (by_hand.classify(X) == read_trees(tmp_path / "grown.safetensors").classify(X)).all()
    assert "of the training rows" in str(made["grown"])


def test_added_trees_teach_by_their_sums(tmp_path):
    boosted = ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0).fit(X[:200], Y[:200])
    path = write_trees(as_trees(boosted), tmp_path / "boosted.safetensors")
    data = package.load_data(DATA["rows"])
    ours, theirs = (package.evaluate(one, data) for one in (path, boosted))
    assert ours["errors"] == theirs["errors"]
    assert ours["nll"] == pytest.approx(theirs["nll"], abs=1e-5)


def test_a_fingerprint_is_that_of_the_trees_and_not_of_their_use(forest):
    first, used = (package.Classifier(as_trees(forest)) for _ in range(2))
    used.estimator.predict_proba(X)
    assert first.fingerprint() == used.fingerprint()
    assert (
        package.Classifier(
            as_trees(ensemble.RandomForestClassifier(4, max_depth=3, random_state=1).fit(X, Y))
        ).fingerprint()
        != first.fingerprint()
    )


def test_what_does_not_fit_is_refused_in_one_sentence(instar, tmp_path, file):
    whole = tmp_path / "tree.safetensors"
    for arguments, sentence in (
        ((file, "--out", tmp_path / "tree.json"), "ends in .safetensors"),
        ((tmp_path / "none.skops", "--out", whole), "there is no file"),
        ((tmp_path, "--out", whole), "is no file of a forest"),
        ((file, "--out", file), "exists; remove it"),
        ((file, "--out", whole, "--by", "width"), "by must be"),
        ((file, "--out", whole, "--max-boxes", "5"), "needs more than max_boxes=5 boxes"),
        ((file, "--out", whole, "--prune"), "prune needs the training rows"),
        ((file, "--out", whole, "--by", "manufactured rows"), "needs the training rows"),
        ((file, "--out", whole, "--by", "manufactured rows", "--data", "digits", "--prune"), "leave out prune"),
        ((file, "--out", whole, "--method", "munge"), "needs none; leave it out"),
        ((file, "--out", whole, "--prune", "--data", "digits"), "4 features, and the data have 64"),
    ):
        code, _, err = instar("born-again-tree", *arguments)
        assert (code, err.count("\n")) == (2, 1), err
        assert sentence in err
        assert not whole.exists()
    with pytest.raises(MismatchError, match="predict numbers"):
        package.born_again_tree(ensemble.RandomForestRegressor(2).fit(X, X[:, 0]), out=whole)
    regressor = write_trees(
        as_trees(ensemble.RandomForestRegressor(2).fit(X, X[:, 0])), tmp_path / "numbers.safetensors"
    )
    with pytest.raises(ConfigError, match="predict numbers"):
        package.evaluate(regressor, package.load_data(DATA["rows"]))
    damaged = bytearray(file.read_bytes())
    damaged[-3] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"cannot be read as trees of Instar: .*damaged"):
        package.evaluate(file, package.load_data(DATA["rows"]))
