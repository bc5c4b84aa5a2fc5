"""Trees learn where networks do: from labels, soft targets and logits, in every verb."""

import json

import numpy as np
import pytest
import torch

import instar
from instar.data import load_data
from instar.errors import InstarError
from instar.models import MLP, Tree
from instar.models.readers.saved import read_description
from instar.models.trained import restore_model
from instar.runs.run import Run
from instar.students import TreeStudent
from instar.targets import DenseTargets
from instar.teachers.teacher import Teacher

forests = pytest.importorskip("sklearn.ensemble")


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture(scope="module")
def forest(data):
    rows = data.train.inputs().flatten(1).numpy()
    return forests.RandomForestClassifier(30, random_state=0).fit(rows, data.train.labels.numpy())


@pytest.fixture(scope="module")
def taught(data, forest, tmp_path_factory):
    return instar.distill(data, forest, "tree", out=tmp_path_factory.mktemp("taught") / "tree", show=False)


def test_a_tree_learns_from_a_forest_more_than_from_labels(data, taught, tmp_path):
    own = instar.train(data, "tree", out=tmp_path / "own", show=False)
    assert taught.config["objective"] == "SoftTargets(1) + 0.1 * HardLabels()"  # and not that of networks
    assert taught.metrics["nll"] < own.metrics["nll"]
    assert taught.metrics["error"] < 0.2
    assert taught.metrics["agreement"] > 0.8
    result, trees = taught.result, taught.model.network.trees
    assert result["leaves"] == trees.leaf_count
    assert result["depth"] == trees.depths.max()
    assert result["parameters"] == 2 * (trees.leaf_count - 1) + 10 * trees.leaf_count
    kinds = [line["kind"] for line in taught.history()]
    assert kinds == ["train", "validation"]
    line = taught.history()[0]
    assert line["loss"] == pytest.approx(line["soft_targets"] + 0.1 * line["hard_labels"], rel=1e-4)
    assert line["examples"] == len(data.train)


def test_each_leaf_holds_the_mean_targets_of_its_samples(data, forest, tmp_path):
    tree = Tree(depth=4, smoothing=0.0, prune=False)
    run = instar.distill(data, forest, tree, out=tmp_path / "run", objective="SoftTargets(1)", show=False)
    rows = data.train.inputs().flatten(1)
    taught = np.clip(forest.predict_proba(rows.numpy()), 1e-6, None)
    taught /= taught.sum(1, keepdims=True)
    found, leaves = run.model(data.train.inputs()).softmax(1).numpy(), run.model.network.apply_trees(rows)[:, 0].numpy()
    assert 8 < len(set(leaves)) <= 16
    for leaf in set(leaves):
        np.testing.assert_allclose(found[leaves == leaf][0], taught[leaves == leaf].mean(0), atol=1e-5)


def test_the_splits_are_those_of_a_regression_on_the_targets(data, forest, tmp_path):
    from sklearn.tree import DecisionTreeRegressor

    tree = Tree(leaves=12, prune=False)
    run = instar.distill(data, forest, tree, out=tmp_path / "run", objective="SoftTargets(1)", show=False)
    rows = data.train.inputs().flatten(1).numpy()
    taught = np.clip(forest.predict_proba(rows), 1e-6, None)
    own = DecisionTreeRegressor(max_leaf_nodes=12).fit(rows, taught / taught.sum(1, keepdims=True))
    leaves = run.model.network.apply_trees(torch.from_numpy(rows))[:, 0].numpy()
    assert len({(a, b) for a, b in zip(leaves, own.apply(rows), strict=True)}) == 12


def test_a_killed_fit_starts_again_and_a_complete_run_is_found(data, forest, tmp_path, monkeypatch):
    whole = instar.distill(data, forest, Tree(depth=3), out=tmp_path / "whole", show=False)

    def killed(self, model):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TreeStudent, "sizes", killed)
        with pytest.raises(KeyboardInterrupt):
            instar.distill(data, forest, Tree(depth=3), out=tmp_path / "again", show=False)
    assert not Run(tmp_path / "again").complete
    again = instar.distill(data, forest, Tree(depth=3), out=tmp_path / "again", show=False)
    assert [line["kind"] for line in again.history()] == ["train", "validation"]
    first, second = whole.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert instar.distill(data, forest, Tree(depth=3), out=tmp_path / "again", show=False).result == again.result
    with pytest.raises(InstarError, match=r"model\.arguments"):
        instar.distill(data, forest, Tree(depth=4), out=tmp_path / "again", show=False)


def test_a_tree_stands_wherever_a_network_may(data, taught, tmp_path):
    evaluated = instar.evaluate(taught.path)
    assert evaluated["error"] == taught.metrics["error"]
    data = load_data("digits", subset=200)
    instar.label(data, taught.path, out=tmp_path / "targets", show=False)
    small = instar.distill(data, tmp_path / "targets", Tree(depth=5), out=tmp_path / "small", show=False)
    assert small.result["depth"] <= 5
    network = instar.distill(data, taught.path, MLP([8]), out=tmp_path / "network", epochs=1, show=False)
    assert network.metrics["agreement"] > 0.1
    several = instar.ensemble([taught.path, small.path, network.path], out=tmp_path / "several")
    instar.distill(data, several.path, Tree(leaves=6), out=tmp_path / "of-several", show=False)
    assert Run(tmp_path / "of-several").result["leaves"] <= 6
    lineage = instar.born_again(
        data, Tree(depth=4), out=tmp_path / "lineage", generations=1, show=False, controls=False
    )
    assert [run.complete for run in (*lineage.generations, *lineage.ensembles)] == [True] * 3
    tuned = instar.tune(
        data,
        taught.path,
        Tree(depth=3),
        out=tmp_path / "tuned",
        temperatures=[1, 4],
        weights=[0.1],
        seeds=2,
        show=False,
    )
    assert tuned.objective.startswith("SoftTargets(")
    assert instar.load(taught.path)(data.test.inputs()[:3]).shape == (3, 10)
    instar.report(tmp_path, out=tmp_path / "report.html")


def test_views_are_more_examples(data, tmp_path):
    run = instar.train(data, Tree(depth=4), out=tmp_path / "run", views="Shift(1)", num_views=3, show=False)
    assert run.history()[0]["examples"] == 3 * len(data.train)


class Silent(Teacher):
    """Knows the training samples alone."""

    def targets(self, batch):
        return DenseTargets(torch.nn.functional.one_hot(batch.labels, 10).float())

    def knows(self, samples):
        return False

    def fingerprint(self):
        return "silent"


def test_a_tree_is_pruned_by_labels_where_the_teacher_knows_no_validation_sample(data, tmp_path):
    run = instar.distill(data, Silent(), "tree", out=tmp_path / "run", show=False)
    whole = instar.distill(data, Silent(), Tree(prune=False), out=tmp_path / "whole", show=False)
    assert 10 <= run.result["leaves"] < whole.result["leaves"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"epochs": 30}, r"'training\.epochs' \(30\) has no effect on a tree"),
        ({"learning_rate": 0.1}, r"'training\.learning_rate' \(0\.1\) has no effect"),
        ({"objective": "Correlation()"}, "a tree cannot minimise Correlation, .* HardLabels, SoftTargets and LogitM"),
        ({"objective": "DecoupledKD()"}, "a tree cannot minimise DecoupledKD"),
        ({"views": "Shift(1)"}, "the views 'Shift.*' are endless; give num_views"),
        ({"start": "teacher"}, "a tree has no initial weights, so 'start' has no effect"),
        ({"settings": {"data.balanced": True}}, "'data.balanced' draws some samples more often .* WeightedLabels"),
        ({"objective": "warmup(1, 0.5) * SoftTargets(1)"}, "the weight .* changes over a training; give a number"),
    ],
)
def test_what_has_no_effect_or_cannot_be_minimised_is_refused(data, forest, tmp_path, given, told):
    source = "digits" if "settings" in given else data
    with pytest.raises(InstarError, match=told):
        instar.distill(source, forest, "tree", out=tmp_path / "run", show=False, **given)
    assert not (tmp_path / "run").exists()


def test_a_fitted_tree_and_views_that_mix_are_refused(data, taught, tmp_path):
    with pytest.raises(InstarError, match="a tree is fitted anew; give it by name or as a description"):
        instar.train(data, taught.model, out=tmp_path / "run", show=False)
    with pytest.raises(InstarError, match="leave out views that mix samples"):
        instar.train(data, "tree", out=tmp_path / "run", views="Mixup(0.2)", num_views=2, show=False)


def test_a_changed_file_of_a_run_is_refused_as_no_tree(taught):
    tensors, _ = taught.tensors("weights.safetensors")
    broken = {name: tensor.clone() for name, tensor in tensors.items()}
    broken["network.left"][0] = 0
    with pytest.raises(InstarError, match="node 0 has a left child that does not come after it"):
        restore_model(broken, read_description(taught), "elsewhere")


def test_the_command_line_makes_a_tree_of_a_table(instar, churn_folder, tmp_path):
    words = [str(churn_folder), "--set", "data.label_column=churn", "--set", "data.subset=500"]
    code, _, err = instar("train", *words, "--model", "tree", "--out", tmp_path / "teacher")
    assert code == 0, err
    words += ["--teacher", tmp_path / "teacher", "--model", "tree", "--arg", "depth=5"]
    code, out, err = instar("distill", *words, "--out", tmp_path / "tree", "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"]["error"] < 0.3
    code, _, err = instar("distill", *words, "--out", tmp_path / "other", "--epochs", 3)
    assert (code, err.split("has")[0]) == (2, "instar: 'training.epochs' (3) ")
    rows = tmp_path / "rows.csv"
    rows.write_text("tenure,contract\n3,Month-to-month\n")
    code, _, err = instar("predict", tmp_path / "tree", rows)
    assert "no column" in err or code == 0
    (tmp_path / "report").mkdir()
    assert instar("report", tmp_path)[0] == 0
