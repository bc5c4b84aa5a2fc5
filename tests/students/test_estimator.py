"""Estimators of other libraries learn soft targets in the way that they can take, and are kept without pickles."""

import json

import numpy as np
import pytest
import torch

import instar
from instar.data import load_data
from instar.errors import InstarError
from instar.models import Estimator, describe_model
from instar.models.fitted_content import unpack

pytest.importorskip("sklearn")
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier


@pytest.fixture(scope="module")
def data():
    return load_data("digits", subset=200)


@pytest.fixture(scope="module")
def teacher(data):
    rows = data.train.inputs().flatten(1).numpy()
    return RandomForestClassifier(10, min_samples_leaf=3, random_state=0).fit(rows, data.train.labels.numpy())


def lightgbm_booster():
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(n_estimators=8, num_leaves=7, min_child_samples=3)


def xgboost_booster():
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBRegressor(n_estimators=8, max_depth=3, learning_rate=0.3)


@pytest.mark.parametrize(
    ("make", "way", "kind"),
    [
        (lambda: RandomForestClassifier(5, max_depth=6), "expanded weights", "trees"),
        (lambda: LogisticRegression(C=0.5), "expanded weights", "linear"),
        (GaussianNB, "expanded weights", "skops"),
        (lambda: ExtraTreesRegressor(4, max_depth=5), "regression on logits", "trees"),
        (lambda: HistGradientBoostingRegressor(max_iter=3), "regression on logits", "trees"),
        (lambda: Ridge(alpha=2.0), "regression on logits", "linear"),
        (lightgbm_booster, "custom objective", "trees"),
        (xgboost_booster, "custom objective", "trees"),
    ],
    ids=["forest", "logistic", "bayes", "extra-trees", "boosted-numbers", "ridge", "lightgbm", "xgboost"],
)
def test_each_kind_learns_and_is_kept_as_arrays_or_skops(data, teacher, tmp_path, capsys, make, way, kind):
    if kind == "skops":
        pytest.importorskip("skops")
    run = instar.distill(data, teacher, make(), out=tmp_path / "run")
    assert (run.result["soft_targets"], run.result["kept_as"]) == (way, kind)
    assert f"learns by {way}, and is kept as {kind}" in capsys.readouterr().err
    assert run.metrics["agreement"] > 0.5
    assert run.metrics["nll"] < 3
    # what another process loads
    again = instar.load(tmp_path / "run")(data.test.inputs())
    assert torch.equal(again, run.model(data.test.inputs()))
    assert "pickle" not in str(unpack(run.model.network.content.numpy()).facts)
    assert instar.evaluate(tmp_path / "run")["error"] == run.metrics["error"]


def test_expanded_weights_are_the_cross_entropy_with_soft_targets(data, teacher, tmp_path):
    settings = {"objective": "SoftTargets(2)", "show": False}
    own = LogisticRegression(C=1e-2, tol=1e-8, max_iter=2000)
    run = instar.distill(data, teacher, own, out=tmp_path / "run", **settings)
    rows = data.train.inputs().flatten(1).double()
    taught = torch.tensor(np.log(np.clip(teacher.predict_proba(rows.numpy()), 1e-6, None)))
    p = torch.softmax(taught / 2, 1)
    # torch minimises C sum_n CE(p_n, softmax(z_n)) + |W|^2 / 2, as scikit-learn does, and z is that of temperature 1
    weights, biases = torch.zeros(10, 64).double().requires_grad_(), torch.zeros(10).double().requires_grad_()
    optimiser = torch.optim.LBFGS([weights, biases], max_iter=500, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = 1e-2 * -(p * torch.log_softmax(rows @ weights.T + biases, 1)).sum() + weights.square().sum() / 2
        value.backward()
        return value

    optimiser.step(loss)
    wanted = torch.softmax(rows @ weights.T + biases, 1).detach()
    torch.testing.assert_close(torch.softmax(run.model(data.train.inputs()).double() / 2, 1), wanted, atol=2e-3, rtol=0)


def test_a_booster_follows_the_objective_as_its_own_softmax_does(data, tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    settings = {"n_estimators": 5, "num_leaves": 7, "boost_from_average": False}
    run = instar.train(data, lightgbm.LGBMClassifier(**settings), out=tmp_path / "run", show=False)
    rows, labels = data.train.inputs().flatten(1).numpy(), data.train.labels.numpy()
    own = lightgbm.LGBMClassifier(**settings, random_state=0, verbosity=-1).fit(rows, labels)
    tests = data.test.inputs()
    wanted = torch.tensor(own.predict(tests.flatten(1).numpy(), raw_score=True)).float()
    torch.testing.assert_close(run.model(tests).log_softmax(1), wanted.log_softmax(1), atol=1e-4, rtol=0)


def test_what_takes_no_soft_targets_is_refused_before_a_folder_exists(data, teacher, tmp_path):
    for model, settings, told in (
        (KNeighborsClassifier(), {}, "KNeighborsClassifier takes no soft targets in any way.* no sample_weight"),
        (LogisticRegression(), {"objective": "SoftTargets(4) + HardLabels()"}, "probabilities at one temperature"),
        (LogisticRegression(), {"objective": "DecoupledKD()"}, "LogisticRegression cannot minimise DecoupledKD"),
        (Estimator("sklearn.linear_model.Ridge", alfa=1), {}, "no parameter 'alfa'; did you mean 'alpha'"),
        (Estimator("sklearn.nothing.Ridge"), {}, "'sklearn.nothing:Ridge' cannot be imported"),
        (Estimator("os:system"), {}, "estimator 'os:system' is not part of Instar"),
        ("estimator", {}, "'name'"),
        (RandomForestClassifier(class_weight={0: 2.0}), {}, "the parameter 'class_weight' .* cannot be written"),
    ):
        with pytest.raises(InstarError, match=told):
            instar.distill(data, teacher, model, out=tmp_path / "run", show=False, **settings)
        assert not (tmp_path / "run").exists()
    # labels need no weights
    run = instar.train(data, KNeighborsClassifier(), out=tmp_path / "labels", trust=True, show=False)
    assert run.result["soft_targets"] == "labels"
    assert run.metrics["error"] < 0.2


def test_a_file_of_skops_is_opened_under_the_rules_of_trust(data, teacher, tmp_path):
    pytest.importorskip("skops")
    run = instar.train(data, KNeighborsClassifier(), out=tmp_path / "run", trust=True, show=False)
    description = describe_model(KNeighborsClassifier())
    assert (description.name, description.arguments) == (
        "estimator",
        {"name": "sklearn.neighbors.KNeighborsClassifier"},
    )
    broken = Estimator(**description.arguments, input_shape=(1, 8, 8), num_classes=10)
    bits = run.model.network.content.clone()
    bits[len(bits) // 2 :] = 0
    with pytest.raises((RuntimeError, InstarError)):
        broken.load_state_dict({"content": bits[:-40]})


def test_the_command_line_names_an_estimator(instar, tmp_path):
    words = ["train", "digits", "--set", "data.subset=150", "--model", "estimator", "--out", tmp_path / "run", "--json"]
    name = "name=sklearn.ensemble.RandomForestClassifier"
    code, out, err = instar(*words, "--arg", name, "--arg", "n_estimators=5")
    assert code == 0, err
    assert json.loads(out)["metrics"]["error"] < 0.4
