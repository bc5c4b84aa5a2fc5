"""Runs whose labels are numbers, from training to the report, and what their verbs refuse."""

import json
import re

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import instar
from instar.analysis.numbers import measure_numbers
from instar.data import Loader
from instar.errors import ConfigError, MismatchError
from instar.teachers import as_teacher

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(500, 4)).astype(np.float32)
PRICES = 4000 + 1500 * INPUTS[:, 0] - 700 * np.abs(INPUTS[:, 1]) + 50 * RANDOM.normal(size=500)
SETTINGS = {"epochs": 12, "batch_size": 50, "learning_rate": 0.01, "show": False}


@pytest.fixture(scope="module")
def data():
    return instar.load_data((INPUTS, PRICES), labels="numbers")


@pytest.fixture(scope="module")
def boosted(data):
    return GradientBoostingRegressor(random_state=0).fit(data.train.inputs(), data.train.column("numbers"))


@pytest.fixture(scope="module")
def student(data, boosted, tmp_path_factory):
    model = instar.models.MLP([32])
    return instar.distill(data, boosted, model, out=tmp_path_factory.mktemp("runs") / "student", **SETTINGS)


def truth(data, predicted):
    numbers = data.test.column("numbers").numpy()
    return {
        "rmse": root_mean_squared_error(numbers, predicted),
        "mae": mean_absolute_error(numbers, predicted),
        "r2": r2_score(numbers, predicted),
    }


def test_metrics_are_those_of_scikit_learn_in_the_unit_of_the_labels(data, boosted, student):
    inputs = data.test.inputs()
    with torch.no_grad():
        predicted = student.model(inputs)[:, 0].numpy()
    theirs = boosted.predict(inputs)
    expected = truth(data, predicted)
    assert {name: student.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert student.metrics["r2"] > 0.9, "it has learnt"
    of_teacher = truth(data, theirs)
    assert student.metrics["teacher_rmse"] == pytest.approx(of_teacher["rmse"], rel=1e-4)
    assert student.metrics["rmse_to_teacher"] == pytest.approx(root_mean_squared_error(theirs, predicted), rel=1e-4)
    for name, value in expected.items():
        low, high = student.metrics[f"{name}_interval"]
        assert low < value < high
    assert student.config["objective"] == "SquaredError('teacher') + 0.1 * SquaredError()"
    assert student.result["first_look"]["r2"] > 0.9


def test_the_interval_of_each_metric_covers_its_value_in_about_95_of_100_samples():
    random, covered = np.random.default_rng(1), {"rmse": 0, "mae": 0, "r2": 0}
    for _ in range(200):
        y, error = random.normal(size=200), random.normal(size=200) / 2
        found = measure_numbers(torch.tensor(y + error), torch.tensor(y))
        exact = {"rmse": 0.5, "mae": 0.5 * np.sqrt(2 / np.pi), "r2": 0.75}
        for name, value in exact.items():
            covered[name] += found[f"{name}_interval"][0] <= value <= found[f"{name}_interval"][1]
    assert all(180 <= count <= 198 for count in covered.values()), covered


def test_a_run_folder_is_evaluated_predicted_and_loaded_as_it_was_trained(data, student):
    again = instar.evaluate(student.path, data)
    assert again["rmse"] == pytest.approx(student.metrics["rmse"], rel=1e-5)
    numbers = instar.predict(student.path, INPUTS[:3])
    with torch.no_grad():
        assert [one.value for one in numbers] == pytest.approx(student.model(torch.tensor(INPUTS[:3]))[:, 0].tolist())
    assert re.fullmatch(r"0  \d{4}\.\d+", str(numbers[0]))
    with pytest.raises(MismatchError, match="predicts numbers, which have no probabilities; call predict"):
        instar.predict_proba(student.path, INPUTS[:3])
    with pytest.raises(ConfigError, match="top chooses among classes"):
        instar.predict(student.path, INPUTS[:3], top=2)


def test_an_ensemble_is_the_mean_and_its_members_tell_the_spread(data, student, tmp_path):
    labels = instar.train(data, instar.models.MLP([16]), out=tmp_path / "labels", **SETTINGS)
    assert labels.config["objective"] == "SquaredError()"
    each = [[one.value for one in instar.predict(run.path, INPUTS[:5])] for run in (student, labels)]
    for combine in ("geometric", "arithmetic"):
        run = instar.ensemble([student, labels], data=data, combine=combine, out=tmp_path / combine)
        found = instar.predict(run.path, INPUTS[:5])
        assert [one.value for one in found] == pytest.approx(np.mean(each, 0).tolist(), rel=1e-5)
        assert [one.spread for one in found] == pytest.approx(np.std(each, 0, ddof=1).tolist(), rel=1e-3)
    pupil = instar.distill(data, run, instar.models.Linear(), out=tmp_path / "pupil", **SETTINGS)
    assert pupil.metrics["teacher_rmse"] == pytest.approx(run.metrics["rmse"], rel=1e-5)


@pytest.mark.parametrize("targets", ["memory", "store"])
def test_a_student_from_stored_numbers_equals_one_of_a_live_teacher(data, boosted, student, tmp_path, targets):
    stored = instar.distill(data, boosted, instar.models.MLP([32]), out=tmp_path / "run", targets=targets, **SETTINGS)
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(stored.model.state_dict().values(), student.model.state_dict().values(), strict=True)
    )
    with pytest.raises(ConfigError, match="keep 'top:1' chooses among classes, and the labels are numbers"):
        instar.distill(
            data,
            boosted,
            instar.models.MLP([32]),
            out=tmp_path / "top",
            targets="store",
            store={"keep": "top:1"},
            **SETTINGS,
        )


def test_the_unit_of_the_labels_changes_no_training(tmp_path):
    runs = [
        instar.train(
            instar.load_data((INPUTS, scale * PRICES + shift), labels="numbers"),
            instar.models.MLP([8]),
            out=tmp_path / str(scale),
            **SETTINGS,
        )
        for scale, shift in ((1.0, 0.0), (1e-3, 5.0))
    ]
    assert runs[0].metrics["rmse"] * 1e-3 == pytest.approx(runs[1].metrics["rmse"], rel=1e-3)
    assert runs[0].metrics["r2"] == pytest.approx(runs[1].metrics["r2"], rel=1e-3)


def test_early_stopping_and_a_plateau_schedule_follow_the_validation_error(data, tmp_path):
    given = SETTINGS | {"epochs": 30, "patience": 3, "schedule": "plateau", "least_fall": 0.0}
    run = instar.train(data, instar.models.MLP([16]), out=tmp_path / "run", **given)
    scores = [line["scaled_error"] for line in run.history() if line["kind"] == "validation"]
    assert run.result["validation"]["scaled_error"] == pytest.approx(min(scores), rel=1e-4)


def test_quantiles_lie_above_their_share_of_the_labels(data, tmp_path):
    run = instar.train(
        data,
        instar.models.MLP([16]),
        objective=instar.objectives.Quantile(0.9),
        out=tmp_path / "run",
        **SETTINGS | {"epochs": 40},
    )
    assert run.metrics["below"] == pytest.approx(0.1, abs=0.07)


def test_regressors_of_all_libraries_teach_what_they_predict(data):
    x, y = data.train.inputs().numpy(), data.train.column("numbers").numpy()
    fitted = [LinearRegression().fit(x, y)]
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    boosted = xgboost.XGBRegressor(n_estimators=5).fit(x, y)
    trees = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(x, y)
    fitted += [boosted, boosted.get_booster(), trees, trees.booster_]
    batch = next(Loader(data.train, 20, seed=0).in_order())
    of_boosters = {0: fitted[0], 1: boosted, 2: boosted, 3: trees, 4: trees}
    for place, one in enumerate(fitted):
        found = as_teacher(one).targets(batch).logits()[:, 0].tolist()
        assert found == pytest.approx(of_boosters[place].predict(x[:20]).tolist(), rel=1e-6)


def test_classes_and_numbers_are_not_confused(data, boosted, tmp_path):
    given = {"out": tmp_path / "run", **SETTINGS}
    x = data.train.inputs().numpy()
    classes = instar.load_data((INPUTS, PRICES > 4000))
    forest = RandomForestClassifier(5, random_state=0).fit(x, data.train.column("numbers").numpy() > 4000)
    with pytest.raises(MismatchError, match="a regressor predicts no classes, so give a classifier"):
        instar.distill(classes, boosted, instar.models.MLP([8]), **given)
    with pytest.raises(MismatchError, match="predicts classes, and the labels are numbers; give a regressor"):
        instar.distill(data, forest, instar.models.MLP([8]), **given)
    with pytest.raises(MismatchError, match="HardLabels is a term of classes, and the labels are numbers"):
        instar.train(data, instar.models.MLP([8]), objective="HardLabels()", **given)
    with pytest.raises(MismatchError, match="SquaredError is a term of numbers, and the labels are classes"):
        instar.train(classes, instar.models.MLP([8]), objective="SquaredError()", **given)
    with pytest.raises(ConfigError, match="is not fitted; call its fit first"):
        as_teacher(LinearRegression())
    with pytest.raises(MismatchError, match="predicts classes, and the labels are numbers; give a regressor"):
        instar.tune(data, forest, instar.models.MLP([8]), **given)


def test_the_command_line_prints_numbers(request, tmp_path):
    run_cli = request.getfixturevalue("instar")
    rows = np.column_stack([INPUTS[:, :2], PRICES])
    text = "width,depth,price\n" + "\n".join(",".join(f"{value:.4f}" for value in row) for row in rows)
    (tmp_path / "rows.csv").write_text(text)
    read = ("data.label_column=price", "data.labels=numbers", "data.test=0.2")
    flags = [*(word for one in read for word in ("--set", one)), "--model", "mlp", "--epochs", "3"]
    code, out, error = run_cli("train", str(tmp_path / "rows.csv"), *flags, "--out", str(tmp_path / "run"))
    assert code == 0, error
    assert re.search(r"R²\s+-?\d\.\d{4} \(95%: .* to .*\)\n  rmse\s+[\d,.]+ \(95%", out)
    _, out, _ = run_cli("predict", str(tmp_path / "run"), str(tmp_path / "rows.csv"), "--json")
    found = json.loads(out)
    assert len(found) == 500
    assert isinstance(found[0]["value"], float)
