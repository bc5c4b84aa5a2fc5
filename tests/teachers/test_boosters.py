"""Boosted trees of XGBoost and LightGBM as teachers: their classifiers and their boosters."""

import copy
import pickle
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from instar.data import Loader, load_data
from instar.errors import ConfigError, MismatchError
from instar.teachers import Classifier, as_teacher

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(240, 4))
Y = (X[:, 0] > 0.4).astype(int) + (X[:, 0] > -0.4)  # three classes in order of the first column
FEW: dict[str, Any] = {"n_estimators": 8, "n_jobs": 1}
FEW_OF_LIGHTGBM = FEW | {"verbose": -1, "min_child_samples": 5}
NAMES = ["age in years", "b", "c", "d"]


def asked(teacher: Any, x: Any = X, y: Any = Y, **settings: Any) -> torch.Tensor:
    """Return the logits of a teacher for all samples in order."""
    loader = Loader(load_data((x, y, x, y), validation=0, **settings).train, len(X), seed=0)
    return as_teacher(teacher).targets(next(loader.in_order())).logits()


def xgboost_of(classes: int) -> Any:
    return xgboost.XGBClassifier(**FEW).fit(X, np.minimum(Y, classes - 1))


def lightgbm_of(classes: int) -> Any:
    return lightgbm.LGBMClassifier(**FEW_OF_LIGHTGBM).fit(X, np.minimum(Y, classes - 1))


FOREST: dict[str, Any] = {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}

MADE = {
    "xgboost": xgboost_of,
    "lightgbm": lightgbm_of,
    "booster of xgboost": lambda classes: xgboost_of(classes).get_booster(),
    "booster of lightgbm": lambda classes: lightgbm_of(classes).booster_,
    "forest of lightgbm": lambda classes: lightgbm.LGBMClassifier(**FEW_OF_LIGHTGBM, **FOREST).fit(
        X, np.minimum(Y, classes - 1)
    ),
    "search in xgboost": lambda classes: GridSearchCV(xgboost.XGBClassifier(**FEW), {"max_depth": [2]}, cv=2).fit(
        X, np.minimum(Y, classes - 1)
    ),
    "pipeline of lightgbm": lambda classes: make_pipeline(
        StandardScaler(), lightgbm.LGBMClassifier(**FEW_OF_LIGHTGBM)
    ).fit(X, np.minimum(Y, classes - 1)),
}


def probabilities(model: Any, x: NDArray[Any]) -> NDArray[Any]:
    """Return what the library itself predicts, `[n, classes]`."""
    if isinstance(model, xgboost.Booster):
        found = model.predict(xgboost.DMatrix(x))
    else:
        found = model.predict(x) if isinstance(model, lightgbm.Booster) else model.predict_proba(x)
    return found if found.ndim == 2 else np.stack([1 - found, found], 1)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", MADE)
def test_probabilities_are_those_of_the_library(kind: str, classes: int) -> None:
    model = MADE[kind](classes)
    logits = asked(model, y=np.minimum(Y, classes - 1))
    expected = probabilities(model, X)
    assert np.abs(logits.double().softmax(1).numpy() - expected).max() < 1e-7
    assert {Classifier(copied).fingerprint() for copied in (model, copy.deepcopy(model))} == {
        Classifier(pickle.loads(pickle.dumps(model))).fingerprint()
    }
    other = copy.deepcopy(MADE[kind](5 - classes))
    assert Classifier(other).fingerprint() != Classifier(model).fingerprint()


def test_margins_keep_what_probabilities_in_float32_lose() -> None:
    sure = xgboost.XGBClassifier(n_estimators=200, learning_rate=1, reg_lambda=0, min_child_weight=0).fit(X, Y > 0)
    logits = asked(sure, y=Y > 0)
    margins = sure.predict(X, output_margin=True)
    assert np.abs((logits[:, 1] - logits[:, 0]).numpy() - margins).max() == 0
    assert np.abs(margins).max() > 20 > -np.log(1e-6), "beyond the floor of probabilities"


def test_a_fingerprint_does_not_depend_on_the_number_of_threads() -> None:
    for made, settings in ((xgboost.XGBClassifier, FEW), (lightgbm.LGBMClassifier, FEW_OF_LIGHTGBM)):
        models = [made(**settings | {"n_jobs": jobs}).fit(X, Y) for jobs in (1, 2)]
        assert len({Classifier(model).fingerprint() for model in models}) == 1
        assert len({Classifier(getattr(model, "booster_", model)).fingerprint() for model in models}) == 1


def test_classes_are_matched_by_name_or_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    words = np.array(["low", "middle", "high"])
    named = lightgbm.LGBMClassifier(**FEW_OF_LIGHTGBM).fit(X, words[Y])
    order = ["low", "high", "middle"]
    found = asked(named, y=words[Y], classes=order).double().softmax(1)
    expected = named.predict_proba(X)[:, [list(named.classes_).index(name) for name in order]]
    assert np.abs(found.numpy() - expected).max() < 1e-7
    assert "numbers" not in capsys.readouterr().err
    # a booster has numbers, which its LGBMClassifier has counted in the order of the alphabet, as Instar does
    found = asked(named.booster_, y=words[Y]).double().softmax(1)
    assert np.abs(found.numpy() - named.predict_proba(X)).max() < 1e-7
    told = "the classes of the teacher are numbers, and are taken to be high, low, middle in order."
    assert capsys.readouterr().err.count(told) == 1
    # or by the names that the user knows
    for made in (named.booster_, xgboost_of(3)):
        by_name = Classifier(made, classes=("middle", "low", "high"))
        loader = Loader(load_data((X, words[Y], X, words[Y]), validation=0).train, len(X), seed=0)
        found = by_name.targets(next(loader.in_order())).logits().double().softmax(1)
        assert np.abs(found.numpy()[:, [2, 1, 0]] - probabilities(made, X)).max() < 1e-7
        assert by_name.fingerprint() != Classifier(made).fingerprint()
    with pytest.raises(ConfigError, match="0 to 1 of an estimator that has only numbers, and LightGBMTrees has the cl"):
        Classifier(named.booster_, classes=("low", "high"))
    assert "numbers" not in capsys.readouterr().err
    with pytest.raises(MismatchError, match=r"\(a, b, c\), got high, low, middle"):
        asked(named, y=np.array(["a", "b", "c"])[Y])
    fewer = lightgbm.LGBMClassifier(**FEW_OF_LIGHTGBM).fit(X[Y > 0], words[Y[Y > 0]])  # knows two of three
    found = asked(fewer, y=words[Y]).double().exp()
    assert np.abs(found.numpy()[:, [0, 2]] - fewer.predict_proba(X)).max() < 1e-7
    assert (found[:, 1] - 1e-6).abs().max() < 1e-12


def test_columns_of_a_table_are_found_by_name() -> None:
    table = pandas.DataFrame(X, columns=NAMES)
    turned = table[["c", "age in years", "d", "b"]]
    for model in (xgboost.XGBClassifier(**FEW), lightgbm.LGBMClassifier(**FEW_OF_LIGHTGBM)):
        model.fit(table, Y)
        boosters = [model.get_booster() if hasattr(model, "get_booster") else model.booster_]
        for one in (model, *boosters):
            assert torch.equal(asked(one, x=turned), asked(one, x=table))
            with pytest.raises(MismatchError, match=r"fitted to a table with the column 'age.in.years'"):
                asked(one, x=table.rename(columns={"age in years": "a"}))
    with pytest.raises(MismatchError, match="was fitted to 4 features, and the data have 3"):
        asked(xgboost_of(3), x=X[:, :3])


def test_a_model_that_stopped_early_predicts_as_its_library_does() -> None:
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, n_jobs=1)
    model.fit(X[:150], Y[:150], eval_set=[(X[150:], Y[150:])], verbose=False)
    assert model.best_iteration < 50
    for one in (model, model.get_booster()):
        assert np.abs(asked(one).double().softmax(1).numpy() - model.predict_proba(X)).max() < 1e-7


def test_a_booster_that_predicts_no_classes_is_refused() -> None:
    for made, said in (
        (xgboost.train({"objective": "rank:ndcg"}, xgboost.DMatrix(X, Y), 2), "'rank:ndcg'"),
        (
            lightgbm.train({"objective": "cross_entropy", "verbose": -1}, lightgbm.Dataset(X, Y / 2), 2),
            "'cross_entropy'",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            as_teacher(made)


def of_three_classes(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the gradient and the curvature of the cross-entropy, an objective that LightGBM does not know."""
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    return p - np.eye(3)[labels.astype(int)], p * (1 - p)


@pytest.mark.filterwarnings("ignore:Cannot compute class probabilities")
def test_raw_scores_of_an_objective_of_the_users_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    model = lightgbm.LGBMClassifier(objective=of_three_classes, **FEW_OF_LIGHTGBM).fit(X, Y)
    assert model.predict_proba(X).min() < 0, "the library only warns"
    with pytest.raises(MismatchError, match="must predict probabilities from 0 to 1, got -"):
        asked(model)


def test_one_against_the_rest_has_probabilities_and_no_margins() -> None:
    model = lightgbm.LGBMClassifier(objective="multiclassova", **FEW_OF_LIGHTGBM).fit(X, Y)
    expected = model.predict_proba(X)
    assert np.abs(asked(model).double().exp().numpy() - expected).max() < 1e-7
