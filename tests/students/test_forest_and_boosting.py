"""Forests and boosted trees follow a teacher more closely than one tree, by the gradients that torch finds."""

import numpy as np
import pytest
import torch

import instar
from instar.data import load_data
from instar.data.batch import Batch
from instar.errors import InstarError
from instar.models import Boosting, Forest, Tree
from instar.objectives import parse_objective
from instar.seeds import derive
from instar.students.boosting import Boosted
from instar.students.derivatives import Derivatives
from instar.students.examples import Examples, Part
from instar.students.leaf_values import add, gather_sums
from instar.students.newton import find_base
from instar.targets import DenseTargets
from instar.trees import TreeArrays, as_trees

forests = pytest.importorskip("sklearn.ensemble")


@pytest.fixture(scope="module")
def data():
    return load_data("digits", subset=400)


@pytest.fixture(scope="module")
def teacher(data):
    rows = data.train.inputs().flatten(1).numpy()
    fitted = forests.RandomForestClassifier(20, min_samples_leaf=2, random_state=0)
    return fitted.fit(rows, data.train.labels.numpy())


def some_examples(count=40, classes=3):
    torch.manual_seed(0)
    labels = torch.randint(-1, classes, (count,))
    labels[:classes] = torch.arange(classes)
    parts = [
        Part(
            Batch.of_labels(labels[at]), torch.randn(count // 2, 5), DenseTargets(2 * torch.randn(count // 2, classes))
        )
        for at in (slice(count // 2), slice(count // 2, count))
    ]
    return Examples(parts, classes), torch.randn(count, classes, dtype=torch.float64)


@pytest.mark.parametrize(
    "text", ["SoftTargets(4) + 0.3 * HardLabels()", "ConfidenceWeighted() + LogitMatching()", "DecoupledKD(1, 2, 3)"]
)
def test_the_derivatives_are_those_of_torch_in_float64(text):
    objective, (examples, logits) = parse_objective(text), some_examples()
    found = Derivatives.of(objective, examples, logits)
    totals = examples.totals(objective)

    def loss(z):
        pieces = zip(z.split(20), examples.parts, strict=True)
        return sum(objective(own, part.batch, part.targets, totals)[0] for own, part in pieces)

    wanted = torch.autograd.functional.jacobian(loss, logits)
    second = torch.autograd.functional.hessian(loss, logits).reshape(120, 120).diagonal().reshape(40, 3)
    assert found.loss == pytest.approx(float(loss(logits)), rel=1e-12)
    torch.testing.assert_close(found.gradient, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.curvature, second.clamp(min=0), rtol=1e-9, atol=1e-9)
    if "Decoupled" not in text:  # the students of means have formulas of their own
        told = add(one.gradient(logits.numpy()) for one in gather_sums(objective, examples))
        np.testing.assert_allclose(told, wanted.numpy(), atol=1e-5)


def test_losses_above_a_cached_tile_have_the_same_second_derivative():
    objective = parse_objective("SoftTargets(2) + HardLabels()")
    count, classes = 60, 5000  # 2.4 MB of logits, whose loss usually has its gradient computed beside it
    torch.manual_seed(0)
    batch, targets = Batch.of_labels(torch.randint(3, (count,))), DenseTargets(torch.randn(count, classes))
    logits = torch.randn(count, classes, dtype=torch.float64)
    part = Part(batch, torch.zeros(count, 1), targets)
    found = Derivatives.of(objective, Examples([part], 3), logits)  # of the first three classes alone, for speed
    second = [torch.softmax(logits / 2, 1), torch.softmax(logits, 1)]
    wanted = sum(q * (1 - q) for q in second)[:, :3]
    torch.testing.assert_close(found.curvature[:, :3], wanted, rtol=1e-6, atol=1e-12)  # targets are float32


def test_the_loss_falls_at_each_round_and_one_full_step_is_the_best_constant_of_each_leaf():
    examples, _ = some_examples()
    objective = parse_objective("DecoupledKD(1, 2, 3) + HardLabels()")
    boosted = Boosted(objective, examples, find_base(objective, examples))
    # at the best constants, the gradients of the examples add up to 0
    np.testing.assert_allclose(boosted.now.gradient.sum(0), np.zeros(3), atol=1e-3)
    losses = [boosted.now.loss]
    for number in range(15):
        step = boosted.add_tree(Boosting(learning_rate=0.05, leaves=4, min_samples=1), number)
        assert np.abs(step.values).max() > 0
        losses.append(boosted.now.loss)
    assert (np.diff(losses) < 0).all()
    objective = parse_objective("LogitMatching()")
    boosted = Boosted(objective, examples, find_base(objective, examples))
    step = boosted.add_tree(Boosting(learning_rate=1.0, leaves=4, min_samples=1, smoothing=0.0), 0)
    leaves = step.grown.estimator.apply(examples.rows)
    wanted = torch.cat([part.targets.logits() for part in examples.parts])
    wanted = (wanted - wanted.mean(1, keepdim=True)).numpy()
    for leaf in set(leaves):
        np.testing.assert_allclose(boosted.logits[leaves == leaf][0], wanted[leaves == leaf].mean(0), atol=1e-6)


def test_a_forest_is_the_mean_of_trees_on_random_examples_and_columns(data, teacher, tmp_path):
    settings = {"objective": "SoftTargets(1)", "show": False}
    one = Forest(1, split_columns=64, smoothing=0.0, bootstrap=False, leaves=12)
    same = instar.distill(data, teacher, one, out=tmp_path / "one", **settings)
    tree = instar.distill(data, teacher, Tree(leaves=12, smoothing=0.0, prune=False), out=tmp_path / "tree", **settings)
    inputs = data.test.inputs()
    torch.testing.assert_close(same.model(inputs).softmax(1), tree.model(inputs).softmax(1), atol=1e-6, rtol=0)

    forest = instar.distill(data, teacher, Forest(3, leaves=12), out=tmp_path / "forest", **settings)
    again = instar.distill(data, teacher, Forest(3, leaves=12), out=tmp_path / "again", **settings)
    assert torch.equal(forest.model(inputs), again.model(inputs))
    trees = forest.model.network.trees
    assert len(trees.roots) == 3 == forest.result["steps"]
    assert len({int(trees.features[root]) for root in trees.roots}) > 1  # the first splits differ
    # each leaf holds the mean of its examples, each counted as often as it was drawn
    rows = data.train.inputs().flatten(1)
    taught = np.clip(teacher.predict_proba(rows.numpy()), 1e-6, None)
    unsmoothed = instar.distill(
        data, teacher, Forest(3, leaves=12, smoothing=0.0), out=tmp_path / "exact", **settings
    ).model.network
    places = unsmoothed.apply_trees(rows).numpy()
    for number in range(3):
        draws = np.random.default_rng(derive(0, "forest", number)).integers(0, len(rows), len(rows))
        counts = np.bincount(draws, minlength=len(rows)).astype(float)
        for leaf in set(places[:, number]):
            inside = places[:, number] == leaf
            mean = np.average(taught[inside], axis=0, weights=counts[inside])
            np.testing.assert_allclose(unsmoothed.values[leaf], mean / mean.sum(), atol=1e-5)


def test_both_follow_a_forest_more_closely_than_one_tree_in_every_verb(data, teacher, tmp_path):
    settings = {"show": False}
    tree = instar.distill(data, teacher, "tree", out=tmp_path / "tree", **settings)
    forest = instar.distill(data, teacher, Forest(10), out=tmp_path / "forest", **settings)
    boosted = instar.distill(data, teacher, Boosting(25, 0.3, leaves=8), out=tmp_path / "boosted", **settings)
    for run in (forest, boosted):
        assert run.metrics["kl_to_teacher"] < 0.8 * tree.metrics["kl_to_teacher"]
        assert run.metrics["agreement"] > tree.metrics["agreement"]
        assert instar.evaluate(run.path)["error"] == run.metrics["error"]
    losses = [line for line in boosted.history() if line["kind"] == "validation"]
    assert len(losses) == 1
    assert 1 <= boosted.result["trees"] <= 25
    instar.label(data, boosted.path, out=tmp_path / "targets", show=False)
    objective = "DecoupledKD(1, 2, 2) + HardLabels()"
    small = Boosting(3, 0.5, depth=2, sample=0.5)
    kept = instar.distill(data, tmp_path / "targets", small, out=tmp_path / "small", objective=objective, show=False)
    assert kept.result["depth"] <= 2
    several = instar.ensemble([forest.path, boosted.path], out=tmp_path / "several")
    run = instar.distill(data, several.path, Forest(2, depth=3), out=tmp_path / "of-several", **settings)
    assert (run.result["trees"], run.result["depth"]) == (2, 3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("family", [Tree, Forest, Boosting])
def test_many_rows_are_predicted_as_few_are(family):
    draw = np.random.default_rng(0)
    rows = torch.from_numpy(draw.normal(size=(900, 3)).astype(np.float32))
    fitted = forests.RandomForestClassifier(1 if family is Tree else 4, max_depth=6, random_state=0)
    trees = as_trees(fitted.fit(rows.numpy(), draw.integers(3, size=900)))
    model = family(input_shape=(3,), num_classes=3)
    kind = {"combine": model.combine, "meaning": model.meaning}
    names = ("features", "thresholds", "left", "right", "values", "roots")
    model.take(TreeArrays(**{name: getattr(trees, name) for name in names}, columns=3, base=np.zeros(3), **kind))
    rows[5, 1] = rows[700, 0] = torch.nan
    found = model(rows)
    torch.testing.assert_close(
        found, torch.cat([model(part) for part in rows.split(100)]), rtol=0, atol=0, equal_nan=True
    )
    assert found.isnan().any(1).nonzero().flatten().tolist() == [5, 700]
    traced = torch.jit.trace(model, rows[:300], check_trace=False)  # of operations of torch alone
    torch.testing.assert_close(traced(rows[:300]), found[:300], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("model", "objective", "told"),
    [
        ("boosting", "Correlation()", "a booster follows the gradient .* Correlation relates the examples"),
        ("boosting", "warmup(1, 0.5) * SoftTargets(1)", "the weight .* changes over a training; give a number"),
        ("forest", "DecoupledKD()", "a forest cannot minimise DecoupledKD, .* or the model 'boosting'"),
        (Boosting(sample=1.0), "SoftTargets(1) + 2 * Hints({'a': 'b'})", "Hints compares hidden layers"),
    ],
)
def test_what_cannot_be_followed_is_refused(data, teacher, tmp_path, model, objective, told):
    with pytest.raises(InstarError, match=told):
        instar.distill(data, teacher, model, out=tmp_path / "run", objective=objective, show=False)
    with pytest.raises(InstarError, match=r"Boosting\(sample\) must be at most 1, got 1\.5"):
        Boosting(sample=1.5)
