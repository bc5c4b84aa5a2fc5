"""Students without gradients whose labels are numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

import instar
from instar.errors import InstarError
from instar.models import MLP, Boosting, Forest, Nearest, Tree
from instar.models.trained import load_model
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


def test_a_forest_averages_means_of_labels_and_teacher(data, boosted, tmp_path):
    model = Forest(3, depth=4, split_columns=2, bootstrap=False)
    run = instar.distill(data, boosted, model, out=tmp_path / "run", show=False)
    x, y = data.train.inputs(), data.train.column("numbers").double().numpy()
    # (t + 0.1 y) / 1.1 has the least sum of both squared errors
    aims = (boosted.predict(x.numpy()) + 0.1 * y) / 1.1
    leaves, found = run.model.network.apply_trees(x).numpy(), np.zeros(len(x))
    for tree in leaves.T:
        found += [aims[tree == leaf].mean() / 3 for leaf in tree]
    np.testing.assert_allclose(run.model(x)[:, 0].numpy(), found, rtol=3e-7)
    assert run.metrics["r2"] > 0.6
    names = {}
    exec(Path(instar.export(run.path, "python", out=tmp_path / "forest.py", data=data).path).read_text(), names)
    row = data.test.inputs()[:1]
    assert names["predict"](row[0].tolist()) == pytest.approx(float(run.model(row)), rel=1e-6)
    with pytest.raises(InstarError, match=r"forest averages its trees, .*, so Huber would not be minimised; give Squa"):
        instar.train(data, model, objective="Huber(1)", out=tmp_path / "no", show=False)


def test_prototypes_hold_the_number_with_the_least_loss_of_their_cells(data, tmp_path):
    run = instar.train(data, Nearest(12), objective="Quantile(0.8)", out=tmp_path / "run", show=False)
    x, y = data.train.inputs(), data.train.column("numbers").double()
    assert run.result["prototypes"] == 12
    cells = run.model.network.find_nearest(run.model.prepare(x))
    for cell in cells.unique():
        own = y[cells == cell].sort().values
        place = 0.8 * len(own)
        low, high = own[max(0, int(np.ceil(place - 1e-9)) - 1)], own[min(len(own) - 1, int(np.floor(place + 1e-9)))]
        value = float(run.model(x[cells == cell][:1]))
        assert float(low) - 1 <= value <= float(high) + 1  # float32 of numbers around 4e6
    assert 0.1 < run.metrics["below"] < 0.35


@pytest.mark.parametrize("name", ["linear_model.Ridge", "ensemble.RandomForestRegressor", "svm.SVR"])
def test_an_estimator_is_fitted_to_labels_and_teacher(data, boosted, tmp_path, name):
    module, kind = name.split(".")
    library = pytest.importorskip(f"sklearn.{module}")
    if module == "svm":
        pytest.importorskip("skops")
    settings = {"random_state": 0, "n_estimators": 5, "max_depth": 3} if module == "ensemble" else {}
    own = getattr(library, kind)(**settings)
    run = instar.distill(data, boosted, own, out=tmp_path / "run", show=False)
    x, y = data.train.inputs().numpy(), data.train.column("numbers").double().numpy()
    wanted = own.fit(x, (boosted.predict(x) + 0.1 * y) / 1.1).predict(data.test.inputs().numpy())
    np.testing.assert_allclose(run.model(data.test.inputs())[:, 0].numpy(), wanted, rtol=1e-6)
    assert run.result["soft_targets"] == "regression on numbers"
    assert run.result["kept_as"] == {"ensemble": "trees", "svm": "skops"}.get(module, "linear")
    again = load_model(Run(run.path), trust=True)
    assert again(data.test.inputs()).equal(run.model(data.test.inputs()))


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_of_a_library_follows_any_term_of_numbers(data, boosted, tmp_path, library):
    module = pytest.importorskip(library)
    regressor = {"xgboost": "XGBRegressor", "lightgbm": "LGBMRegressor"}[library]
    kind = getattr(module, regressor)
    given = {"n_estimators": 30, "max_depth": 3, "learning_rate": 0.3, "n_jobs": 1}
    run = instar.distill(data, boosted, kind(**given), out=tmp_path / "run", show=False)
    x, y = data.train.inputs().numpy(), data.train.column("numbers").double().numpy()
    own = kind(**given).fit(x, (boosted.predict(x) + 0.1 * y) / 1.1 - 4e6)
    difference = run.model(data.test.inputs())[:, 0].double().numpy() - 4e6 - own.predict(data.test.inputs().numpy())
    assert np.abs(difference).mean() < 0.08 * data.train.source.task.std
    assert run.metrics["r2"] > 0.6
    for text, low, high in (("Quantile(0.9)", 0.02, 0.3), ("Huber(0.5)", 0.3, 0.7)):
        other = instar.train(data, kind(**given), objective=text, out=tmp_path / text, show=False)
        assert low < other.metrics["below"] < high
    assert other.metrics["r2"] > 0.6


def test_estimators_that_cannot_learn_numbers_are_refused(data, boosted, tmp_path):
    linear = pytest.importorskip("sklearn.linear_model")
    given = {"out": tmp_path / "run", "show": False}
    with pytest.raises(InstarError, match="LogisticRegression is no regressor, and the labels are numbers"):
        instar.distill(data, boosted, linear.LogisticRegression(), **given)
    with pytest.raises(InstarError, match=r"Ridge has a loss of its own, .*, so Quantile would not be minimised"):
        instar.train(data, linear.Ridge(), objective="Quantile(0.9)", **given)
    assert not (tmp_path / "run").exists()
    neighbours = pytest.importorskip("sklearn.neighbors").KNeighborsRegressor()
    some = instar.load_data((INPUTS, np.where(np.arange(500) % 2, PRICES, np.nan)), labels="numbers")
    with pytest.raises(InstarError, match="KNeighborsRegressor counts all samples alike, because its fit has no samp"):
        instar.distill(some, boosted, neighbours, **given)


@pytest.mark.parametrize("student", ["forest", "nearest", "HistGradientBoostingRegressor"])
def test_a_distilled_regressor_takes_every_student(boosted, student):
    from instar.sklearn import DistilledRegressor

    given = getattr(pytest.importorskip("sklearn.ensemble"), student)() if student[0] == "H" else student
    fitted = DistilledRegressor(boosted, given, random_state=0).fit(INPUTS, PRICES)
    assert fitted.score(INPUTS, PRICES) > 0.4
    assert fitted.predict(INPUTS[:3]).shape == (3,)
    found = fitted.compare_with_teacher(INPUTS, PRICES)
    kept = found["r2_kept"]
    assert kept.method == pytest.approx(fitted.score(INPUTS, PRICES) / boosted.score(INPUTS, PRICES), rel=1e-4)
    assert kept.over_samples.low < kept.method - 1 < kept.over_samples.high
    apart = np.sqrt(np.mean((fitted.predict(INPUTS) - boosted.predict(INPUTS)) ** 2))
    assert found["rmse_to_teacher"].method == pytest.approx(apart, rel=1e-3)
