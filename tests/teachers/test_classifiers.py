"""Scikit-learn estimators of all kinds as teachers."""

import copy
import pickle
import warnings

import numpy as np
import pandas
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from instar.data import Loader, Samples, Shift, Source, load_data
from instar.errors import ConfigError, MismatchError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.stages.first_look import look_at
from instar.teachers import Classifier, as_teacher

INPUTS = torch.rand(60, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] * 3).long()
X, Y = INPUTS.numpy(), LABELS.numpy()
NAMES = ("cat", "dog", "emu")


def batch_of(names=("0", "1", "2"), inputs=INPUTS, given=None):
    return Loader(Samples.all_of(Source("table", inputs, LABELS, names, given=given)), 60, seed=0).batch(0)


def forest(**settings):
    return RandomForestClassifier(3, random_state=0, **settings)


def answers(estimator, batch):
    return Classifier(estimator).targets(batch).logits().argmax(1)


KINDS = {
    "search": lambda: GridSearchCV(forest(), {"max_depth": [2, 3]}, cv=2),
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "search in a pipeline": lambda: make_pipeline(StandardScaler(), GridSearchCV(forest(), {"max_depth": [2]}, cv=2)),
    "calibrated": lambda: CalibratedClassifierCV(SVC(), cv=2),
    "voting": lambda: VotingClassifier([("a", forest()), ("b", LogisticRegression())], voting="soft"),
    "stacking": lambda: StackingClassifier([("a", forest())], cv=2),
    "boosted": lambda: HistGradientBoostingClassifier(max_iter=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_estimators_of_every_kind_teach_and_have_one_fingerprint_in_every_copy(kind):
    estimator = KINDS[kind]().fit(X, Y)
    batch = batch_of()
    expected = estimator.predict_proba(X[batch.ids.numpy()])
    np.testing.assert_allclose(Classifier(estimator).targets(batch).logits().exp(), expected.clip(1e-6), rtol=1e-4)
    copies = [estimator, copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))]
    assert len({Classifier(one).fingerprint() for one in copies}) == 1
    other = KINDS[kind]().fit(X, np.roll(Y, 1))
    assert Classifier(other).fingerprint() != Classifier(estimator).fingerprint()


def test_a_fingerprint_does_not_depend_on_how_an_estimator_runs():
    settings = [{}, {"n_jobs": 2}, {"verbose": 0, "warm_start": True}]
    found = {Classifier(forest(**some).fit(X, Y)).fingerprint() for some in settings}
    within = {Classifier(make_pipeline(forest(**some)).fit(X, Y)).fingerprint() for some in settings}
    assert (len(found), len(within)) == (1, 1)
    assert Classifier(forest(max_depth=2).fit(X, Y)).fingerprint() not in found
    assert Classifier(forest().fit(X, Y), floor=1e-3).fingerprint() not in found


@pytest.mark.parametrize(
    ("fitted_to", "names"),
    [
        (Y, ("0", "1", "2")),
        (Y, NAMES),  # label indices
        (Y.astype(float), ("0", "1", "2")),
        (np.array(NAMES)[Y], NAMES),
        (np.array(NAMES)[Y], ("emu", "cat", "dog")),  # another order
        (Y + 1, ("1", "2", "3")),  # values as names
        (Y - 1, ("-1", "0", "1")),
    ],
)
def test_classes_are_found_by_name_or_number(fitted_to, names):
    tree = DecisionTreeClassifier(random_state=0).fit(X, fitted_to)
    batch = batch_of(names)
    said = tree.predict(X[batch.ids.numpy()])
    by_name = {name: number for number, name in enumerate(names)}
    expected = [by_name.get(str(int(one) if isinstance(one, float) else one), one) for one in said.tolist()]
    assert answers(tree, batch).tolist() == [int(one) for one in expected]


def test_classes_that_a_classifier_does_not_know_are_impossible():
    some = Y != 1
    tree = DecisionTreeClassifier(random_state=0).fit(X[some], np.array(NAMES)[Y[some]])
    found = Classifier(tree).targets(batch_of(NAMES)).logits()
    assert found.shape == (60, 3)
    assert (found[:, 1] == torch.tensor(1e-6).log()).all()


def test_features_of_a_table_are_passed_by_name_without_a_warning():
    table = pandas.DataFrame(X, columns=list("abcd"))
    prepared = ColumnTransformer([("kept", "passthrough", ["b", "a"])])
    batch = batch_of()
    for estimator in (forest(), make_pipeline(prepared, forest())):
        estimator.fit(table, Y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = Classifier(estimator).targets(batch).logits()
        expected = estimator.predict_proba(table.iloc[batch.ids.numpy()])
        np.testing.assert_allclose(found.exp(), expected.clip(1e-6), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SVC().fit(X, Y), "SVC has none; fit it with probability=True"),
        (lambda: RandomForestRegressor(2), "the regressor RandomForestRegressor is not fitted"),
        (lambda: VotingClassifier([("a", forest())], voting="hard").fit(X, Y), "voting='soft'"),
        (lambda: GridSearchCV(forest(), {"max_depth": [2]}), "is not fitted"),
        (lambda: forest().fit(X, np.stack([Y, Y], 1)), "has 2 outputs"),
    ],
)
def test_what_cannot_teach_is_refused_in_a_sentence(make, message):
    with pytest.raises(ConfigError, match=message):
        as_teacher(make())


@pytest.mark.parametrize(
    ("make", "names", "message"),
    [
        (lambda: forest().fit(X[:, :3], Y), NAMES, "was fitted to 3 features, and the data have 4"),
        (lambda: forest().fit(X, Y + 5), NAMES, r"must be the label indices 0\.\.2 or the names"),
        (lambda: forest().fit(X, Y % 2 + 1), ("1", "2", "3"), "can be names or label indices"),
        (lambda: forest().fit(X, np.array(["x", "y", "z"])[Y]), NAMES, r"\(cat, dog, emu\), got x, y, z"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_the_first_step(make, names, message, tmp_path):
    with pytest.raises(MismatchError, match=message):
        Classifier(make()).targets(batch_of(names))
    if names is NAMES and "features" in message:
        with pytest.raises(MismatchError, match=message):
            distill(load_data((X, Y)), make(), MLP([4]), out=tmp_path / "run", epochs=1)
        assert not (tmp_path / "run").exists()


def table_in_float64():
    """Values on both sides of a tree's split that are equal in float32."""
    values = np.repeat(1.0 + np.arange(30)[:, None] * 1e-9, 4, 1)
    return values, (np.arange(30) >= 15).astype(int)


@pytest.mark.parametrize("arrays", [2, 4])
def test_a_classifier_sees_the_values_that_the_user_gave(arrays):
    values, labels = table_in_float64()
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(values, labels)
    data = load_data((values, labels) * (arrays // 2), validation=0.2)
    for samples in (data.train, data.validation, data.test):
        batch = Loader(samples, 30, seed=0).batch(0)
        found = Classifier(logistic).targets(batch).logits()
        assert found.argmax(1).tolist() == batch.labels.tolist()
        few = batch.rows(torch.tensor([2, 0]))
        assert torch.equal(Classifier(logistic).targets(few).logits(), found[[2, 0]])


def test_values_are_kept_only_where_holding_them_in_float32_has_rounded_them():
    values, labels = table_in_float64()
    rounded, exact = load_data((values, labels)), load_data((values.astype(np.float32), labels))
    assert rounded.train.source.given.dtype == torch.float64
    assert exact.train.source.given is None
    assert load_data((np.round(values), labels)).train.source.given is None
    assert rounded.fingerprints() == exact.fingerprints(), "the content of what networks read is the same"
    before = rounded.train.source.given.clone()
    values[:] = 0.0
    assert torch.equal(rounded.train.source.given, before), "a copy, which nobody else can change"


def test_views_change_what_a_classifier_sees():
    source = Source("images", torch.rand(6, 1, 2, 2), torch.zeros(6).long(), ("0", "1"), given=torch.zeros(6, 1, 2, 2))
    from instar.data import given_inputs

    shifted = Loader(Samples.all_of(source), 6, seed=0, views=Shift(1)).batch(0)
    assert torch.equal(given_inputs(shifted), shifted.inputs)
    assert (given_inputs(Loader(Samples.all_of(source), 6, seed=0).batch(0)) == 0).all()


COLOURS = np.random.default_rng(0).integers(0, 256, (200, 6, 8, 3), dtype=np.uint8)
REDDISH = (COLOURS[..., 0].mean((1, 2)) > COLOURS[..., 2].mean((1, 2))).astype(int)


def test_pixels_come_in_the_order_of_the_arrays_that_were_given():
    last = RandomForestClassifier(20, random_state=0).fit(COLOURS.reshape(200, -1), REDDISH)
    first_axes = COLOURS.transpose(0, 3, 1, 2)
    first = RandomForestClassifier(20, random_state=0).fit(first_axes.reshape(200, -1), REDDISH)
    for fitted, images in ((last, COLOURS), (first, first_axes)):
        assert evaluate(fitted, load_data((images, REDDISH, images, REDDISH)))["errors"] == 0


def test_near_chance_the_first_look_names_the_order_of_pixels():
    fitted = RandomForestClassifier(20, random_state=0).fit(COLOURS.reshape(200, -1), REDDISH)
    data = load_data((COLOURS.transpose(0, 3, 1, 2), REDDISH))
    (warning,) = look_at(Classifier(fitted), data, Loader(data.train, 32, seed=0)).warnings
    assert warning.endswith("in the order channels, height, width; it may have been fitted to another order")
    grey = load_data((COLOURS[..., 0], 1 - REDDISH), layout="HW")
    other = RandomForestClassifier(20, random_state=0).fit(COLOURS[..., 2].reshape(200, -1), 1 - REDDISH)
    assert (
        "order" not in look_at(Classifier(other), grey, Loader(grey.train, 32, seed=0)).warnings[0].split("classes")[1]
    )


def test_columns_of_tables_are_found_by_name_whatever_their_order():
    table = pandas.DataFrame(np.random.default_rng(0).random((60, 4)), columns=list("abcd"))
    labels = (table["a"] > table["d"]).to_numpy()
    forest = RandomForestClassifier(5, random_state=0).fit(table[["d", "a"]], labels)
    orders = ["d", "a"], ["a", "d"], list("cbad")
    assert len({evaluate(forest, load_data((table[order], labels)))["nll"] for order in orders}) == 1
    with pytest.raises(MismatchError, match="fitted to a table with the column 'd', and the data have none"):
        evaluate(forest, load_data((table[["a", "b"]], labels)))
