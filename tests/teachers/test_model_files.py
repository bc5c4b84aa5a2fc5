"""Fitted classifiers in files: what is the same as the object, and what a stranger's file cannot do."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from instar.data import Loader, load_data
from instar.errors import ConfigError
from instar.runs.run import Run
from instar.targets import TargetStore
from instar.teachers import as_teacher

DIGITS = load_data("digits", subset=200)
X, Y = DIGITS.train.inputs().flatten(1).numpy(), DIGITS.train.labels.numpy()
BATCH = next(Loader(DIGITS.train, 200, seed=0).in_order())
MLP = ["--model", "mlp", "--arg", "widths=[4]", "--epochs", "1", "--set", "data.subset=200"]


def logistic() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=20)).fit(X, Y)


def forest() -> Any:
    return RandomForestClassifier(3, random_state=0).fit(X, Y)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where files are written and commands are given."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_skops_file_is_the_pipeline_that_it_holds(folder: Path) -> None:
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    model = logistic()
    skops.dump(model, "model.skops")
    read = as_teacher("model.skops")
    assert np.array_equal(read.targets(BATCH).logits(), as_teacher(model).targets(BATCH).logits())
    assert read.fingerprint() == as_teacher(model).fingerprint()
    skops.dump({"a": 1}, "dictionary.skops")
    with pytest.raises(ConfigError, match=r"'dictionary\.skops' holds a dict, and a teacher there must be"):
        as_teacher("dictionary.skops")


def test_types_that_skops_does_not_know_are_named_and_need_trust(folder: Path) -> None:
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    model = forest()
    skops.dump(model, "forest.skops")
    with pytest.raises(ConfigError, match=r"does not know to be safe: sklearn\.tree\._tree\.Tree; .*--trust"):
        as_teacher("forest.skops")
    assert as_teacher(Path("forest.skops"), trust=True).fingerprint() == as_teacher(model).fingerprint()
    calls: dict[str, Any] = {"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode", "__id__": 1}
    calls |= {"content": {"module_path": "posix", "function": "system"}, "protocol": 2, "_skops_version": "0.16.0"}
    with zipfile.ZipFile("hostile.skops", "w") as file:
        file.writestr("schema.json", json.dumps(calls))
    with pytest.raises(ConfigError, match=r"does not know to be safe: posix\.system"):
        as_teacher("hostile.skops")


class Hostile:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "model.joblib"])
def test_a_pickle_needs_trust_and_runs_nothing_without(folder: Path, name: str) -> None:
    Path(name).write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(ConfigError, match=r"runs any code that its author put there\. skops\.io\.dump.*--trust"):
        as_teacher(name)
    assert not Path("ran").exists()
    model = forest()
    joblib.dump(model, name)
    assert as_teacher(name, trust=True).fingerprint() == as_teacher(model).fingerprint()


def test_files_of_boosted_trees_predict_as_their_classifiers(folder: Path) -> None:
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    few: dict[str, Any] = {"n_estimators": 2, "n_jobs": 1}
    trees = xgboost.XGBClassifier(**few).fit(X, Y)
    for name in ("model.json", "model.ubj"):
        trees.save_model(name)
        found = as_teacher(name).targets(BATCH).logits().double().softmax(1)
        assert np.abs(found.numpy() - trees.predict_proba(X)).max() < 1e-7
    leaves = lightgbm.LGBMClassifier(**few, verbose=-1).fit(X, Y)
    leaves.booster_.save_model("model.txt")
    found = as_teacher("model.txt").targets(BATCH).logits().double().softmax(1)
    assert np.abs(found.numpy() - leaves.predict_proba(X)).max() < 1e-7
    assert as_teacher("model.txt").fingerprint() == as_teacher(leaves.booster_).fingerprint()


def test_a_file_that_holds_something_else_is_refused_in_a_sentence(folder: Path) -> None:
    for library, names in (("skops", ("a.skops",)), ("xgboost", ("a.json", "a.ubj")), ("lightgbm", ("a.txt",))):
        pytest.importorskip(library, reason=f"{library} is not installed")
        for name in names:
            with pytest.raises(ConfigError, match=f"there is no file '{name}'"):
                as_teacher(name)
            for content in (b"", b"nothing", b'{"learner": 3}', b"tree\nnothing"):
                Path(name).write_bytes(content)
                with pytest.raises(ConfigError, match=f"'{name}' (cannot be read as|is not) a model of"):
                    as_teacher(name)
    Path("a.pkl").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"'a\.pkl' cannot be read as a pickle"):
        as_teacher("a.pkl", trust=True)


def test_a_file_teaches_in_every_verb_and_a_stranger_s_does_not(folder: Path, instar: Callable[..., Any]) -> None:
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
    xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, Y).save_model("model.json")
    joblib.dump(forest(), "forest.pkl")
    for command in (
        ["distill", "digits", *MLP, "--teacher", "model.json", "--out", "student"],
        ["evaluate", "student", "--teacher", "model.json"],
        ["evaluate", "model.json", "--data", "digits"],
        ["label", "digits", "--set", "data.subset=200", "--teacher", "model.json", "--out", "store"],
        ["targets", "verify", "store", "--rows", "5"],
        ["distill", "digits", *MLP, "--teacher", "forest.pkl", "--trust", "--out", "trusted"],
        ["label", "digits", "--teacher", "model.json", "--teacher-classes", "[9,8,7,6,5,4,3,2,1,0]", "--out", "named"],
        ["targets", "verify", "named", "--rows", "5"],
    ):
        code, out, err = instar(*command)
        assert code == 0, (command, err)
        assert "labelled again" in out or command[0] != "targets"
    assert Run("student").config["teachers"] == ["model.json"]
    parts = [TargetStore(name).part("test") for name in ("store", "named")]
    predicted, named = (part.targets(torch.arange(9), 0).logits() for part in parts)
    torch.testing.assert_close(named, predicted.flip(1))
    code, _, err = instar("distill", "digits", *MLP, "--teacher", "forest.pkl", "--out", "no")
    assert (code, "--trust" in err, Path("no").exists()) == (2, True, False)


ESTIMATORS = """
from sklearn.base import BaseEstimator
from sklearn.tree import DecisionTreeClassifier
import instar

samples = instar.load_data("digits", subset=200).train
tree = DecisionTreeClassifier(random_state=0).fit(samples.inputs().flatten(1), samples.labels)

def make() -> DecisionTreeClassifier:
    return tree
"""


def test_an_estimator_of_a_module_teaches_by_its_name(
    write_module: Callable[[str, str], Path], instar: Callable[..., Any]
) -> None:
    write_module("my_estimators", ESTIMATORS)
    weights = set()
    for number, name in enumerate(("tree", "make")):
        code, _, err = instar("distill", "digits", *MLP, "--teacher", f"my_estimators:{name}", "--out", f"run{number}")
        assert code == 0, err
        weights.add(Run(f"run{number}").weights.read_bytes())
    assert len(weights) == 1
    for name in ("tree", "make"):
        with pytest.raises(ConfigError, match="--trust"):
            as_teacher(f"my_estimators:{name}")
        assert as_teacher(f"my_estimators:{name}", trust=True)
    code, _, err = instar("evaluate", "run0", "--teacher", "my_estimators:tree", "--teacher-arg", "depth=3")
    assert (code, "is fitted, so it takes no arguments" in err) == (2, True)
