"""Verbs and settings whose labels are numbers: lineages, manufactured rows, and what belongs to classes alone."""

import numpy as np
import pytest

import instar
from instar.errors import InstarError
from instar.models import Tree
from instar.runs.run import Run
from instar.training.scoring import measure_validation

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(300, 3)).astype(np.float32)
PRICES = 4000 + 1500 * INPUTS[:, 0] - 700 * np.abs(INPUTS[:, 1]) + 50 * RANDOM.normal(size=300)


@pytest.fixture(scope="module")
def data():
    return instar.load_data((INPUTS, PRICES), labels="numbers")


def test_generations_are_chosen_and_told_by_their_rmse(data, tmp_path):
    lineage = instar.born_again(
        data, Tree(depth=3), out=tmp_path / "lineage", generations=2, stop_early=True, show=False
    )
    # a tree that learns from an equal tree gains nothing
    assert "is not below the" in lineage.stopped
    assert "validation RMSE" in lineage.stopped
    assert {run.path.name for run in lineage.controls} == {"labels-1", "labels-2", "labels-1-2"}
    first, second, *_ = lineage.rows()
    assert second["rmse"] == pytest.approx(lineage.generations[1].metrics["rmse"])
    gain, low, high = second["gain"]
    assert gain == pytest.approx(first["rmse"] - second["rmse"], rel=1e-4)
    assert low <= gain <= high
    assert "test RMSE" in str(lineage)
    assert lineage.generations[1].config["objective"] == "SquaredError(of='teacher')"
    with pytest.raises(InstarError, match="have no labels, and this run has no teacher"):
        instar.born_again(data.select(transfer="munge"), Tree(), out=tmp_path / "rows", show=False)


def test_a_teacher_labels_manufactured_rows_with_numbers(data, tmp_path):
    teacher = instar.train(data, Tree(), out=tmp_path / "teacher", show=False)
    more = {"transfer": "munge", "transfer_rows": 400}
    run = instar.distill(data, teacher, Tree(depth=4), out=tmp_path / "student", show=False, **more)
    assert run.history()[0]["examples"] == len(data.train) + 400
    assert run.metrics["r2"] > 0.5
    assert run.metrics["samples"] == len(data.test)  # and no manufactured one


@pytest.mark.parametrize(
    "setting",
    [
        {"stratified": True},
        {"balanced": True},
        {"omit_classes": ["3"]},
        {"keep_classes": ["3"]},
        {"special_classes": ["3"]},
    ],
)
def test_settings_of_classes_are_refused(data, setting):
    with pytest.raises(InstarError, match=f"'data.{next(iter(setting))}' is a setting of classes, and the labels are"):
        data.select(**setting)


def test_terms_and_verbs_of_classes_are_refused(data, tmp_path):
    given = {"out": tmp_path / "run", "show": False}
    with pytest.raises(InstarError, match="WeightedLabels is a term of classes, and the labels are numbers"):
        instar.train(data, Tree(), objective="WeightedLabels()", **given)
    teacher = instar.train(data, Tree(depth=2), out=tmp_path / "teacher", show=False)
    for names, told in (
        ({"temperatures": (1, 2)}, "numbers have no temperature; leave out temperatures"),
        ({"criterion": "nll"}, "the labels are numbers, so criterion must be rmse or mae, got nll"),
        ({"weights": (1,)}, "one weight leaves nothing to choose"),
    ):
        with pytest.raises(InstarError, match=told):
            instar.tune(data, teacher, Tree(), **given, **names)


def test_tune_chooses_the_weight_with_the_least_rmse(data, tmp_path):
    # a teacher of two numbers: labels are better, and the more the more they weigh
    dull = instar.train(data, Tree(depth=1), out=tmp_path / "dull", show=False)
    model = Tree(depth=5, prune=False)
    found = instar.tune(data, dull, model, out=tmp_path / "tune", weights=(0, 0.1, 50), seeds=2, show=False)
    assert found.objective == "SquaredError('teacher') + 50 * SquaredError()"
    assert found.criterion == "rmse"
    runs = {path.name: Run(path).result["validation"] for path in (tmp_path / "tune").glob("*-seed-0")}
    assert set(runs) == {"labels-seed-0", "w0-seed-0", "w0.1-seed-0", "w50-seed-0"}
    assert found.chosen.found == {name: (runs["w50-seed-0"][name],) * 2 for name in ("rmse", "mae")}
    assert runs["w50-seed-0"]["rmse"] < min(runs[f"w{w}-seed-0"]["rmse"] for w in ("0", "0.1"))
    text = str(found)
    assert text.startswith("Mean validation RMSE;")
    assert "\nteacher " in text
    given = {"out": tmp_path / "tune", "weights": (0, 50), "seeds": 2, "criterion": "mae", "show": False}
    assert "validation MAE" in str(instar.tune(data, dull, model, **given))


def test_validation_during_training_measures_no_interval(data, tmp_path, monkeypatch):
    teacher = instar.train(data, Tree(depth=2), out=tmp_path / "teacher", show=False)
    monkeypatch.setattr("instar.tasks.regression.measure_numbers", None)
    from instar.teachers import as_teacher

    found = measure_validation(as_teacher(teacher), data.validation)
    assert found == pytest.approx({name: teacher.result["validation"][name] for name in ("rmse", "r2", "scaled_error")})


def test_the_command_line_labels_manufactured_rows_and_warns_of_a_leak(request, tmp_path):
    run_cli = request.getfixturevalue("instar")
    text = "a,b,copy,price\n" + "\n".join(
        f"{a:.4f},{b:.4f},{3 * y:.4f},{y:.4f}" for (a, b, _), y in zip(INPUTS, PRICES, strict=True)
    )
    (tmp_path / "rows.csv").write_text(text)
    read = ("data.label_column=price", "data.labels=numbers", "data.test=0.2")
    words = [tmp_path / "rows.csv", *(word for one in read for word in ("--set", one)), "--model", "tree"]
    code, _, err = run_cli("train", *words, "--out", tmp_path / "teacher")
    assert code == 0, err
    assert "column 'copy' alone predicts the label with an R² of 1.0000" in err
    assert "column 'a'" not in err
    words += ["--teacher", tmp_path / "teacher", "--transfer", "munge", "--transfer-rows", 100]
    code, _, err = run_cli("distill", *words, "--out", tmp_path / "student")
    assert code == 0, err
    (tmp_path / "rows.csv").write_text(text + "\n1,1,1,much")
    code, _, err = run_cli("train", *words[:7], "--model", "tree", "--out", tmp_path / "other")
    assert "has the label 'much' (str)" in err
