"""Trees that are read from scikit-learn, XGBoost and LightGBM predict what they predict, at every threshold."""

import numpy as np
import pytest

from instar.errors import MismatchError
from instar.trees import TreeArrays, as_trees

ROWS, COLUMNS = 400, 6


def sample(kind, *, missing=False):
    draw = np.random.default_rng(0)
    # few values, and those float32 rounds, so that many rows are exactly at a threshold
    x = np.round(draw.normal(size=(ROWS, COLUMNS)), 1) / 3
    score = x[:, 0] + x[:, 1] * x[:, 2] + draw.normal(size=ROWS) / 9
    if missing:
        x[draw.random(x.shape) < 0.1] = np.nan
    return x, {"two": score > 0, "three": np.digitize(score, [-0.2, 0.2]), "number": score}[kind]


def rows_at_thresholds(trees, *, missing):
    """Return rows whose values are at a threshold, or one float32 or float64 step beside it."""
    draw = np.random.default_rng(1)
    rows = np.zeros((500, trees.columns))
    for column in range(trees.columns):
        own = trees.thresholds[trees.features == column]
        near = [own, np.nextafter(own, 9), np.nextafter(own, -9), own.astype(np.float32), own.astype(np.float32) + 1e-7]
        rows[:, column] = draw.choice(np.concatenate([*near, [0.0]]), 500)
    if missing:
        rows[draw.random(rows.shape) < 0.1] = np.nan
    return rows


def logits_of(margins, outputs):
    margins = np.reshape(margins, (len(margins), -1))
    return margins if margins.shape[1] == outputs else np.concatenate([0 * margins, margins], 1)


@pytest.mark.parametrize("kind", ["two", "three", "number"])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "name",
    ["DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees", "Bagging", "GradientBoosting", "HistGradientBoosting"],
)
def test_scikit_learn(name, missing, kind):
    ensemble, tree = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("sklearn.tree")
    if missing and name == "GradientBoosting":
        pytest.skip("scikit-learn's own takes no missing values")
    whole = f"{name}{'Regressor' if kind == 'number' else 'Classifier'}"
    settings = {"random_state": 0} | (
        {"max_iter": 5}
        if name.startswith("Hist")
        else {}
        if "Tree" in name and not name.endswith("s")
        else {"n_estimators": 5}
    )
    settings |= {"max_features": 0.5} if name == "Bagging" else {}
    model = getattr(ensemble, whole, None) or getattr(tree, whole)
    model = model(**settings).fit(*sample(kind, missing=missing))
    trees = as_trees(model)
    rows = rows_at_thresholds(trees, missing=missing)
    predict = {"probabilities": "predict_proba", "logits": "decision_function", "numbers": "predict"}[trees.meaning]
    np.testing.assert_allclose(trees.predict(rows), logits_of(getattr(model, predict)(rows), trees.outputs), atol=1e-12)
    if kind != "number":
        assert (model.classes_[trees.classify(rows)] == model.predict(rows)).all()
        assert trees.classes == tuple(map(str, model.classes_))


@pytest.mark.parametrize("kind", ["two", "three", "number"])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"booster": "dart", "rate_drop": 0.5}, {"num_parallel_tree": 3, "subsample": 0.5}],
    ids=["trees", "dart", "forests"],
)
def test_xgboost(settings, missing, kind):
    xgboost = pytest.importorskip("xgboost")
    kinds = xgboost.XGBRegressor if kind == "number" else xgboost.XGBClassifier
    model = kinds(n_estimators=8, max_depth=4, random_state=0, **settings).fit(*sample(kind, missing=missing))
    for given in (model, model.get_booster()):
        trees = as_trees(given)
        rows = rows_at_thresholds(trees, missing=True)
        wanted = model.predict(rows, output_margin=True)
        np.testing.assert_allclose(trees.predict(rows), logits_of(wanted, trees.outputs), atol=1e-6)
    assert len(trees.roots) == 8 * (3 if kind == "three" else 1) * settings.get("num_parallel_tree", 1)


@pytest.mark.parametrize("kind", ["two", "three", "number"])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}, {"min_child_samples": 300}],
    ids=["trees", "forest", "single leaves"],
)
def test_lightgbm(settings, missing, kind):
    lightgbm = pytest.importorskip("lightgbm")
    kinds = lightgbm.LGBMRegressor if kind == "number" else lightgbm.LGBMClassifier
    model = kinds(n_estimators=8, random_state=0, verbose=-1, **settings).fit(*sample(kind, missing=missing))
    for given in (model, model.booster_):
        trees = as_trees(given)
        rows = rows_at_thresholds(trees, missing=True)
        wanted = model.predict(rows, raw_score=True) / (8 if settings.get("boosting_type") == "rf" else 1)
        np.testing.assert_allclose(trees.predict(rows), logits_of(wanted, trees.outputs), atol=1e-12)


def test_early_stopping_leaves_out_the_trees_after_the_best():
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    x, y = sample("two")
    y = np.random.default_rng(0).permutation(y)
    first = xgboost.XGBClassifier(n_estimators=50, early_stopping_rounds=3).fit(
        x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False
    )
    assert len(as_trees(first).roots) == first.best_iteration + 1 < first.get_booster().num_boosted_rounds()
    second = lightgbm.LGBMClassifier(n_estimators=50, verbose=-1).fit(
        x[:200], y[:200], callbacks=[lightgbm.early_stopping(3, verbose=False)], eval_X=x[200:], eval_y=y[200:]
    )
    assert len(as_trees(second).roots) == second.best_iteration_ < 50


def refused_models():
    ensemble, tree = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("sklearn.tree")
    linear = pytest.importorskip("sklearn.linear_model")
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    x, y = sample("two")
    words = x.copy()
    words[:, 0] = np.random.default_rng(0).permutation(np.arange(ROWS) % 7)
    coded = (words[:, 0] % 2 == 0) ^ (words[:, 1] > 0)
    quiet = {"n_estimators": 2, "verbose": -1}
    started = ensemble.GradientBoostingClassifier(n_estimators=2, init=linear.LogisticRegression())
    by_sets = lightgbm.LGBMClassifier(min_data_per_group=1, max_cat_to_onehot=1, cat_smooth=0, **quiet)
    return [
        (linear.LogisticRegression().fit(x, y), "has no trees that can be read"),
        (ensemble.RandomForestClassifier(), "fit it first"),
        (ensemble.AdaBoostClassifier(n_estimators=2).fit(x, y), "does not average trees"),
        (tree.DecisionTreeRegressor().fit(x, x[:, :2]), "predicts 2 things at once"),
        (ensemble.HistGradientBoostingClassifier(categorical_features=[0]).fit(words, coded), "splits categories"),
        (started.fit(x, y), "starts from pred"),
        (xgboost.XGBClassifier(booster="gblinear", n_estimators=2).fit(x, y), "has no trees"),
        (xgboost.XGBClassifier(missing=0.0, n_estimators=2).fit(x, y), "reads 0.0 as a missing value"),
        (xgboost.XGBRegressor(objective="count:poisson", n_estimators=2).fit(x, y), "has 'count:poisson'"),
        (lightgbm.LGBMClassifier(zero_as_missing=True, **quiet).fit(x, y), "reads zeros as missing"),
        (lightgbm.LGBMRegressor(linear_tree=True, **quiet).fit(x, y), "linear functions"),
        (lightgbm.LGBMRegressor(objective="poisson", **quiet).fit(x, y), "has 'poisson'"),
        (by_sets.fit(words, coded, categorical_feature=[0]), "splits cat"),
        (object(), "has no trees that Instar reads"),
    ]  # fmt: skip


def test_models_that_are_no_trees_are_refused_in_one_sentence():
    for model, sentence in refused_models():
        with pytest.raises(MismatchError, match=sentence):
            as_trees(model)


def test_what_is_not_fitted_has_several_targets_or_one_class_is_refused_in_one_sentence():
    ensemble, tree = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("sklearn.tree")
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    x, y = sample("two")
    voters = [("one", tree.DecisionTreeClassifier(max_depth=1)), ("two", tree.DecisionTreeClassifier(max_depth=2))]
    one_class, pair = np.zeros(ROWS, int), np.stack([y, 1 - y], 1)
    quantiles = xgboost.XGBRegressor(objective="reg:quantileerror", quantile_alpha=[0.2, 0.8], n_estimators=2)
    for model, sentence in (
        (xgboost.XGBClassifier(), "XGBClassifier has no trees that can be read; fit it first"),
        (lightgbm.LGBMClassifier(), "LGBMClassifier has no trees that can be read; fit it first"),
        (xgboost.XGBRegressor(n_estimators=2).fit(x, pair), "predicts several things at once"),
        (quantiles.fit(x, y), "predicts several things at once"),
        (xgboost.XGBClassifier(n_estimators=2).fit(x, one_class), "met one class in training"),
        (ensemble.VotingClassifier(voters).fit(x, y), "VotingClassifier does not average trees"),
        (ensemble.RandomTreesEmbedding(n_estimators=2).fit(x), "RandomTreesEmbedding does not average trees"),
    ):
        with pytest.raises(MismatchError, match=sentence):
            as_trees(model)


def test_logits_of_the_exponential_loss_have_its_probabilities():
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, y = sample("two")
    model = ensemble.GradientBoostingClassifier(n_estimators=5, loss="exponential").fit(x, y)
    margins = as_trees(model).predict(x) @ [-1, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-margins)), model.predict_proba(x)[:, 1], atol=1e-12)


@pytest.mark.parametrize("library", ["lightgbm", "scikit-learn"])
def test_infinite_numbers_go_the_way_of_numbers_where_missing_values_are_split_from_all_others(library):
    ensemble, lightgbm = pytest.importorskip("sklearn.ensemble"), pytest.importorskip("lightgbm")
    x, y = sample("two")
    x[y == 1, 0] = np.nan
    make = {"lightgbm": lightgbm.LGBMClassifier, "scikit-learn": ensemble.HistGradientBoostingClassifier}[library]
    model = make(**({"n_estimators": 5, "verbose": -1} if library == "lightgbm" else {"max_iter": 5})).fit(x, y)
    rows = np.repeat(x, 2, 0)
    rows[::3, 0], rows[1::7, 1] = np.inf, -np.inf
    for count in (len(rows), 50):  # compiled, and in NumPy
        found = as_trees(model).predict(rows[:count]) @ [-1, 1]
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), model.predict_proba(rows[:count])[:, 1], atol=1e-9)


def test_a_model_that_does_more_than_its_trees_is_refused():
    ensemble = pytest.importorskip("sklearn.ensemble")

    class Doubled(ensemble.RandomForestRegressor):
        def predict(self, rows):
            return super().predict(rows) * 2

    Doubled.__module__ = "sklearn.ensemble"
    with pytest.raises(MismatchError, match=r"predict otherwise than the model itself, by 0\.5"):
        as_trees(Doubled(3, random_state=0).fit(*sample("number")))


def test_names_of_columns_are_kept():
    pandas, ensemble = pytest.importorskip("pandas"), pytest.importorskip("sklearn.ensemble")
    x, y = sample("two")
    frame = pandas.DataFrame(x, columns=list("abcdef"))
    trees = as_trees(ensemble.RandomForestClassifier(2, random_state=0).fit(frame, y))
    assert trees.feature_names == tuple("abcdef")
    assert as_trees(trees) is trees
    assert isinstance(trees, TreeArrays)
