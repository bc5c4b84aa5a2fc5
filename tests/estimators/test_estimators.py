"""Estimators of scikit-learn: its own checks, and what they do not ask."""

import pickle

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor
from sklearn.utils.estimator_checks import estimator_checks_generator

from instar.errors import InstarError
from instar.runs.run import Run
from instar.sklearn import BornAgainClassifier, DistilledClassifier, DistilledRegressor

ESTIMATORS = [
    DistilledClassifier(DecisionTreeClassifier(max_depth=4)),
    DistilledRegressor(DecisionTreeRegressor(max_depth=4)),
    BornAgainClassifier(DecisionTreeClassifier(max_depth=3)),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_the_checks_of_scikit_learn_pass_whole(estimator):
    failed = []
    for one, check in estimator_checks_generator(estimator):
        try:
            check(one)
        except Exception as error:  # a check that needs another variable of the environment skips
            if type(error).__name__ != "SkipTest" or "SCIPY_ARRAY_API" not in str(error):
                failed.append((check, error))
    assert not failed


@pytest.fixture(scope="module")
def customers():
    draw = np.random.default_rng(0)
    plan = draw.choice(["basic", "gold", "pro"], 400)
    age = draw.normal(40, 12, 400)
    y = np.where((plan == "gold") ^ (age > 45), "leaves", "stays")
    age[::9] = np.nan
    return pandas.DataFrame({"age": age, "plan": plan, "calls": draw.integers(0, 9, 400)}), y


def forest_of_words():
    words = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough")
    return make_pipeline(words, RandomForestClassifier(20, random_state=0))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_of_words_and_missing_values_is_learnt_and_its_order_does_not_matter(customers, library):
    x, y = customers
    given = x if library == "pandas" else pytest.importorskip("polars").from_pandas(x)
    teacher = forest_of_words().fit(x, y)
    tree = DistilledClassifier(teacher, random_state=0).fit(given, y)
    assert tree.classes_.tolist() == ["leaves", "stays"]
    assert tree.feature_names_in_.tolist() == ["age", "plan", "calls"]
    assert tree.score(given, y) > 0.9
    assert tree.teacher_ is teacher
    assert 'plan is "gold"' in tree.rules()
    assert (pickle.loads(pickle.dumps(tree)).predict_proba(given) == tree.predict_proba(given)).all()
    lost = tree.compare_with_teacher(given, y)
    assert lost.mean == pytest.approx(teacher.score(x, y) - tree.score(given, y))
    assert lost.low <= lost.mean <= lost.high
    with pytest.raises(ValueError, match="fitted to a data frame of words"):
        tree.predict(np.zeros((2, 3)))


def test_a_fitted_teacher_is_never_fitted_again(customers):
    x, y = customers
    x = x[["calls", "age"]].fillna(0)
    forest = RandomForestClassifier(5, random_state=0).fit(x, y)
    search = GridSearchCV(DistilledClassifier(forest), {"student_arguments": [{"leaves": 2}, {"leaves": 8}]}, cv=2)
    search.fit(x, y)
    assert search.best_estimator_.teacher_ is forest
    entry = DistilledClassifier(forest, student_arguments={"min_samples": 3}).set_params(student_arguments__leaves=2)
    assert entry.student_arguments == {"min_samples": 3, "leaves": 2}
    assert clone(search.best_estimator_).teacher is forest
    with pytest.raises(InstarError, match="'teacher__max_depth' has no effect, because the teacher is fitted"):
        clone(DistilledClassifier(forest)).set_params(teacher__max_depth=2)
    pipeline = make_pipeline(StandardScaler(), DistilledClassifier()).set_output(transform="pandas").fit(x, y)
    assert pipeline[-1].feature_names_in_.tolist() == ["calls", "age"]
    assert "age <= " in pipeline[-1].rules()


def test_a_weight_is_as_many_rows(customers):
    x, y = customers
    x = x[["calls", "age"]].fillna(0).to_numpy()
    weights = np.random.default_rng(1).integers(0, 4, len(x))
    # few leaves, because those of two rows have ties, which rounding decides
    settings = {"validation": 0, "random_state": 0, "student_arguments": {"leaves": 8}}
    settings["objective"] = "SoftTargets(3) + 0.5 * HardLabels() + LogitMatching()"
    teacher = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, y)
    weighed = DistilledClassifier(teacher, **settings).fit(x, y, weights)
    rows = np.repeat(np.arange(len(x)), weights)
    repeated = DistilledClassifier(teacher, **settings).fit(x[rows], y[rows])
    np.testing.assert_allclose(weighed.predict_proba(x), repeated.predict_proba(x), rtol=1e-4)
    plain = DistilledClassifier(teacher, **settings).fit(x, y)
    assert abs(weighed.predict_proba(x) - plain.predict_proba(x)).max() > 0.01
    with pytest.raises(InstarError, match="WeightedLabels counts each sample once"):
        DistilledClassifier(teacher, objective="SoftTargets(1) + WeightedLabels()").fit(x, y, weights)
    with pytest.raises(InstarError, match="takes no sample_weight"):
        DistilledClassifier(forest_of_words()).fit(x, y, weights)


def lightgbm_booster():
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(n_estimators=5, num_leaves=5, min_child_samples=1, min_data_in_bin=1)


def xgboost_booster():
    return pytest.importorskip("xgboost").XGBRegressor(n_estimators=5, max_depth=3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"name": "boosting", "arguments": {"rounds": 6, "learning_rate": 0.5, "leaves": 6}},
        lambda: LogisticRegression(C=0.01, tol=1e-10, max_iter=1000),
        lambda: Ridge(alpha=20.0),
        lambda: ExtraTreeRegressor(max_depth=4, max_features=1.0, random_state=0),
        lightgbm_booster,
        xgboost_booster,
    ],
    ids=["boosting", "expanded", "ridge", "tree", "lightgbm", "xgboost"],
)
def test_a_weight_is_as_many_rows_to_boosters_and_estimators(customers, make):
    x, y = customers
    x = x[["calls", "age"]].fillna(0).to_numpy().round()
    weights = np.random.default_rng(1).integers(0, 4, len(x))
    teacher = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, y)
    one = DistilledClassifier(teacher, make(), validation=0, random_state=0)
    rows = np.repeat(np.arange(len(x)), weights)
    weighed, repeated, plain = (
        clone(one).fit(x[at], y[at], own).predict_proba(x)
        for at, own in ((slice(None), weights), (rows, None), (slice(None), None))
    )
    np.testing.assert_allclose(weighed, repeated, atol=1e-5)
    assert abs(plain - repeated).max() > 1e-3


def test_a_row_of_weight_0_is_not_there_for_the_scale_of_prototypes():
    draw = np.random.default_rng(0)
    x, weights = draw.normal(size=(200, 2)), draw.integers(0, 4, 200)
    x[weights == 0, 1] = 1e6
    y = x[:, 1] + x[:, 0] ** 2
    teacher = DecisionTreeRegressor(max_depth=5, random_state=0).fit(x[weights > 0], y[weights > 0])
    one = DistilledRegressor(teacher, "nearest", validation=0, random_state=0)
    rows = np.repeat(np.arange(200), weights)
    weighed, repeated = (clone(one).fit(x[at], y[at], own) for at, own in ((slice(None), weights), (rows, None)))
    np.testing.assert_allclose(weighed.predict(x[rows]), repeated.predict(x[rows]), atol=1e-4)


def test_weights_that_would_be_lost_are_refused(customers):
    x, y = customers
    x, weights = x[["calls"]], np.linspace(0, 1, len(x))
    teacher = DecisionTreeClassifier(max_depth=4).fit(x, y)
    for student, settings, told in (
        (KNeighborsClassifier(), {"objective": "HardLabels()"}, "KNeighborsClassifier cannot weigh samples"),
        (KNeighborsRegressor(), {}, "KNeighborsRegressor cannot weigh samples, because its fit has no sample_weight"),
        ("boosting", {"student_arguments": {"min_samples": 150}}, "weights .* add up to 1.*, and each leaf needs 150"),
    ):
        with pytest.raises(InstarError, match=told):
            DistilledClassifier(teacher, student, random_state=0, **settings).fit(x, y, weights)
    with pytest.raises(InstarError, match=r"all (40|360) samples .* have the weight 0"):
        DistilledClassifier(teacher, validation=0.9, random_state=0).fit(x, y, np.arange(len(x)) == 0)


def test_a_network_learns_in_a_run_folder_and_from_manufactured_rows(tmp_path):
    x, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(10, random_state=0).fit(x, y)
    network = DistilledClassifier(
        forest,
        "mlp",
        student_arguments={"widths": [16]},
        settings={"epochs": 20, "learning_rate": 0.01},
        transfer="munge",
        transfer_rows=300,
        out=tmp_path / "run",
        random_state=0,
    ).fit(x, y)
    assert network.score(x, y) > 0.8
    assert Run(tmp_path / "run").complete
    tree = DistilledClassifier(forest, transfer="munge", transfer_rows=300, random_state=0).fit(x, y)
    assert tree.score(x, y) > 0.9


def test_labels_of_another_kind_than_the_teacher_knows_are_refused():
    x, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(5, random_state=0).fit(x, y)
    with pytest.raises(InstarError, match=r"classes of the teacher are 0, 1, 2, and those of y are a, b, c"):
        DistilledClassifier(forest).fit(x, np.array(["a", "b", "c"])[y])
    with pytest.raises(InstarError, match=r"classes of the teacher are 0, 1, 2, and those of y are 3, 4, 5; give y"):
        DistilledClassifier(forest).fit(x, y + 3)
    few = DistilledClassifier(forest, random_state=0).fit(x[y < 2], y[y < 2])
    with pytest.raises(InstarError, match="y has the class '1', which neither student nor teacher knows"):
        few.compare_with_teacher(x, np.full(len(x), "1"))
    assert few.classes_.tolist() == [0, 1, 2]
    assert few.predict_proba(x).shape == (150, 3)


def test_a_teacher_that_takes_no_words_is_fitted_to_their_numbers(customers):
    xgboost = pytest.importorskip("xgboost")
    x, y = customers
    x = x[["calls", "age"]]
    y = np.where((x["age"] > 40) & (x["calls"] > 3), "old", "young")
    booster = xgboost.XGBClassifier(n_estimators=3, max_depth=2)
    tree = DistilledClassifier(booster, random_state=0).fit(x, y)
    assert tree.classes_.tolist() == ["old", "young"]
    assert tree.teacher_.classes_.tolist() == [0, 1]
    assert tree.score(x, y) > 0.95
    assert abs(tree.compare_with_teacher(x, y).mean) < 0.05
    one = BornAgainClassifier(booster).fit(x.fillna(0), y)
    assert one.proof_
    assert one.score(x.fillna(0), y) > 0.95
    with pytest.raises(InstarError, match="the teacher are 0, 1, and those of y are old, young; give y with the cl"):
        DistilledClassifier(tree.teacher_).fit(x, y)


def test_words_that_nothing_can_read_and_teachers_of_another_task_are_refused_in_a_sentence(customers):
    x, y = customers
    with pytest.raises(InstarError, match=r"RandomForestClassifier cannot be fitted: .*; column 'plan' holds no num"):
        DistilledClassifier().fit(x, y)
    x = x[["calls"]]
    for wrong, labels, weights, told in (
        (DistilledRegressor(), y, None, "y must be numbers: .*; DistilledClassifier learns cl"),
        (DistilledRegressor(), x["calls"], y, "sample_weight must be numbers: "),
        (DistilledRegressor(RandomForestClassifier()), x["calls"], None, "RandomForestClassifier predicts classes, an"),
        (DistilledClassifier(RandomForestRegressor()), y, None, "RandomForestRegressor predicts no classes, so give"),
    ):
        with pytest.raises(InstarError, match=told):
            wrong.fit(x, labels, weights)


def test_a_column_that_holds_the_label_is_told(customers):
    x, y = customers
    x = x.assign(copy=y == "stays")
    teacher = forest_of_words().fit(x, y)
    with pytest.warns(UserWarning, match=r"column 'copy' alone predicts the label .* leave it out$"):
        DistilledClassifier(teacher).fit(x, y)


def test_a_born_again_tree_predicts_the_class_of_its_forest():
    x, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    forest = RandomForestClassifier(6, max_depth=2, random_state=0).fit(x, names)
    tree = BornAgainClassifier(forest, "leaves").fit(x, names)
    assert tree.proof_
    assert (tree.predict(x) == forest.predict(x)).all()
    assert BornAgainClassifier(forest, exact=False).fit(x, names).get_n_leaves() >= tree.get_n_leaves()
    pruned = BornAgainClassifier(forest, prune=True).fit(x, names)
    assert (pruned.predict(x) == forest.predict(x)).all()
    assert not pruned.proof_, "it differs where there are no rows"
    row = pandas.DataFrame([pruned.proof_.row], columns=x.columns)
    assert pruned.predict(row) != forest.predict(row)
    assert clone(tree).forest is forest
    with pytest.raises(InstarError, match="objective must be depth, leaves or depth then leaves"):
        BornAgainClassifier(forest, "width").fit(x, names)
    with pytest.raises(InstarError, match="a pipeline is no forest; give its last step"):
        BornAgainClassifier(make_pipeline(StandardScaler(), forest)).fit(x, names)
    with pytest.raises(InstarError, match="column 'name' of X holds no numbers"):
        BornAgainClassifier(forest).fit(x.assign(name=names), names)


def test_numbers_are_learnt_from_a_frame_and_from_manufactured_rows(customers):
    x, _ = customers
    y = 1000 * (x["plan"] == "gold") + 20 * x["age"].fillna(30) + 5 * x["calls"]
    words = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough")
    teacher = make_pipeline(words, RandomForestRegressor(20, random_state=0)).fit(x, y)
    tree = DistilledRegressor(teacher, transfer="munge", transfer_rows=500, random_state=0).fit(x, y)
    assert tree.teacher_ is teacher
    assert 0.9 < tree.score(x, y) < 1
    is_gold = x["plan"] == "gold"
    gold = DistilledRegressor(teacher, random_state=0).fit(x, y, np.where(is_gold, 1.0, 0.0))
    least = min(teacher.predict(x[is_gold]).min(), y[is_gold].min())
    assert teacher.predict(x).min() < least / 2
    assert gold.predict(x).min() > least - 0.01, "rows of weight 0 say nothing"
    with pytest.raises(InstarError, match=r"y has one number in 2 sample"):
        DistilledRegressor(teacher).fit(x[:2], [1.0, 1.0])
    with pytest.raises(InstarError, match="y has one class, 0, and a classifier"):
        DistilledClassifier(DecisionTreeClassifier()).fit(np.zeros((3, 1)), [0, 0, 0])
