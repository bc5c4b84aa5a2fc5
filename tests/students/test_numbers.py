"""Students without gradients whose labels are numbers."""

import numpy as np
import pytest
import torch

import instar
from instar.models import MLP, Boosting, Tree
from instar.objectives import parse_objective
from instar.runs.run import Run
from instar.students.leaf_numbers import Distances, bisect

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(500, 4)).astype(np.float32)
PRICES = 4e6 + 1500 * INPUTS[:, 0] - 700 * np.abs(INPUTS[:, 1]) + 50 * RANDOM.standard_t(2, size=500)


@pytest.fixture(scope="module")
def data():
    return instar.load_data((INPUTS, PRICES), labels="numbers")


@pytest.fixture(scope="module")
def boosted(data):
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, y = data.train.inputs().numpy(), data.train.column("numbers").numpy()
    return ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0).fit(x, y)


def test_squared_errors_make_the_tree_of_scikit_learn(data, tmp_path):
    trees = pytest.importorskip("sklearn.tree")
    run = instar.train(data, Tree(leaves=20, prune=False), out=tmp_path / "run", show=False)
    x, y = data.train.inputs().numpy(), data.train.column("numbers").numpy()
    own = trees.DecisionTreeRegressor(max_leaf_nodes=20).fit(x, y.astype(np.float64))
    test = data.test.inputs()
    found = run.model(test)[:, 0].numpy()
    np.testing.assert_allclose(found, own.predict(test.numpy()), rtol=3e-7)
    assert run.model.output_scale is None  # values of leaves are in the unit of the labels, as are exported rules


@pytest.mark.parametrize(
    "text", ["Huber(0.3)", "Quantile(0.9)", "Quantile(0.5, 'teacher') + 0.5 * Huber(0.2) + 0.1 * SquaredError()"]
)
def test_leaves_hold_the_number_with_the_least_loss(data, boosted, tmp_path, text):
    make = instar.distill if "teacher" in text else instar.train
    given = [data, boosted] if "teacher" in text else [data]
    run = make(*given, Tree(leaves=6, prune=False), out=tmp_path / "run", objective=text, show=False)
    x, std = data.train.inputs(), data.train.source.task.std
    leaves, found = run.model.network.apply_trees(x)[:, 0], run.model(x)[:, 0].double()
    y, taught = data.train.column("numbers").double(), torch.from_numpy(boosted.predict(x.numpy()))
    for leaf in leaves.unique():
        inside = leaves == leaf

        def loss(value, inside=inside):
            total = 0.0
            for weight, term in parse_objective(text).parts:
                numbers = (y if term.of == "labels" else taught)[inside]
                total += weight * float(term.of_distances((value - numbers) / std).sum())
            return total

        best, step = float(found[inside][0]), 2e-3 * std
        assert loss(best) <= min(loss(best - step), loss(best + step)) + 1e-6


def test_groups_without_numbers_and_equal_best_numbers():
    quarter = Distances(
        lambda d: torch.maximum(0.75 * d, -0.25 * d), np.arange(5.0)[1:], np.ones(4), np.zeros(4, int), 2
    )
    np.testing.assert_allclose(bisect([quarter]), [[1.5], [0.0]])


def test_a_booster_follows_the_gradient_in_any_unit(data, boosted, tmp_path):
    ensemble = pytest.importorskip("sklearn.ensemble")
    model = Boosting(rounds=20, leaves=0, depth=3, min_samples=1, smoothing=0.0, patience=0)
    run = instar.train(data, model, out=tmp_path / "run", show=False)
    x, y = data.train.inputs().numpy(), data.train.column("numbers").numpy().astype(np.float64)
    own = ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0).fit(x, y)
    test = data.test.inputs()
    found = run.model(test)[:, 0].numpy()
    assert np.abs(found - own.predict(test.numpy())).mean() < 0.05 * data.train.source.task.std
    taught = instar.distill(
        data, boosted, "boosting", objective="Quantile(0.9, 'teacher')", out=tmp_path / "q", show=False
    )
    assert 0.02 < taught.metrics["below"] < 0.3


def test_a_tree_of_numbers_stands_wherever_a_network_may(data, boosted, tmp_path):
    tree = instar.distill(data, boosted, "tree", out=tmp_path / "tree", show=False)
    assert tree.metrics["r2"] > 0.7
    assert tree.config["objective"] == "SquaredError('teacher') + 0.1 * SquaredError()"
    assert tree.result["leaves"] < len(data.train) / 2  # pruned
    assert [line["kind"] for line in tree.history()] == ["train", "validation"]
    assert instar.evaluate(tree.path, data=data)["r2"] == tree.metrics["r2"]
    instar.label(data, tree.path, out=tmp_path / "targets", show=False)
    small = instar.distill(data, tmp_path / "targets", Tree(depth=3), out=tmp_path / "small", show=False)
    network = instar.distill(data, small.path, MLP([4]), out=tmp_path / "network", epochs=1, show=False)
    several = instar.ensemble([tree.path, small.path, network.path], data=data, out=tmp_path / "several")
    again = instar.distill(data, several.path, Tree(leaves=6), out=tmp_path / "again", show=False)
    assert Run(again.path).result["leaves"] <= 6
    exported = instar.export(small.path, "onnx", out=tmp_path / "exported.onnx", data=data)
    assert exported.path.endswith("onnx")
    first = next(iter(instar.predict(tree.path, INPUTS[:2])))
    assert first.value == pytest.approx(float(tree.model(torch.from_numpy(INPUTS[:1]))))
    instar.report(tmp_path, out=tmp_path / "report.html")
    assert "R²" in (tmp_path / "report.html").read_text()
