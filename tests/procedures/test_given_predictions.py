"""Predictions that were made elsewhere: a store of them is as one that a teacher wrote."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

import instar as package
from instar.data import load_data
from instar.errors import ConfigError, DataError, InstarError, MismatchError
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.evaluate import evaluate
from instar.procedures.label import label
from instar.procedures.target_stores import describe_targets, targets_info, verify_targets
from instar.runs.run import Run
from instar.targets import TargetStore
from instar.teachers import Classifier, GivenPredictions

DIGITS = load_data("digits", subset=300)
TRAIN, TEST = DIGITS.train.source, DIGITS.test.source
X, Y = TRAIN.inputs.flatten(1).numpy(), TRAIN.labels.numpy()
FOREST = RandomForestClassifier(5, random_state=0).fit(X, Y)
P, P_TEST = FOREST.predict_proba(X), FOREST.predict_proba(TEST.inputs.flatten(1).numpy())
SETTINGS: dict[str, Any] = {"epochs": 2, "show": False}
EXACT: dict[str, Any] = {"dtype": "float32", "show": False}
WORDS = np.array(["cat", "dog", "emu"])
Z = np.random.default_rng(0).normal(size=(40, 2))
IDS = np.arange(40)[::-1] + 100
TABLE = load_data((Z, WORDS[np.arange(40) % 3], Z[:9], WORDS[np.arange(9) % 3]), validation=0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where files are written and commands are given."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights(run: Run) -> bytes:
    return run.weights.read_bytes()


def test_a_store_of_given_probabilities_trains_the_student_of_the_classifier_that_made_them(folder: Path) -> None:
    np.savez("forest.npz", train=P, test=P_TEST)
    store = label("digits", GivenPredictions("forest.npz"), out="store", **EXACT)
    by_store = distill(DIGITS, store, MLP([8]), out="by-store", **SETTINGS)
    by_forest = distill(DIGITS, FOREST, MLP([8]), out="by-forest", **SETTINGS)
    assert weights(by_store) == weights(by_forest)
    assert by_store.metrics == by_forest.metrics, "with the agreement on the test samples"
    assert evaluate(store)["errors"] == evaluate(FOREST, DIGITS)["errors"]
    live = distill(DIGITS, "GivenPredictions('forest.npz')", MLP([8]), out="live", **SETTINGS)
    assert weights(live) == weights(by_forest)
    assert Run("live").config["teachers"] == ["GivenPredictions('forest.npz')"]
    names = {split: part["samples"] for split, part in targets_info(store)["parts"].items()}
    assert names == {"train": len(TRAIN), "test": len(TEST)}, "all samples, whatever is selected or set aside"


def test_rows_that_nobody_predicted_are_left_out_and_counted(
    folder: Path, instar: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given = P.copy()
    given[[3, 40]], given[7] = np.nan, 0.0  # older versions of scikit-learn wrote NaN
    np.save("oob.npy", given)
    code, out, err = instar("label", "digits", "--from", "oob.npy", "--dtype", "float32", "--out", "store")
    assert code == 0, err
    assert "3 training samples have no prediction" in out
    assert "training samples have no prediction by the teacher, and are left out" in err
    assert TargetStore("store").manifest.parts["train"].samples == len(TRAIN) - 3
    code, out, err = instar("targets", "verify", "store")
    assert (code, "labelled again: probabilities differ by at most 0 " in out) == (0, True), err
    data = load_data("digits", validation=0)
    run = distill(data, "store", MLP([8]), out="run", **SETTINGS)
    assert "instar: 3 of 1,200 training samples have no prediction by the teacher" in capsys.readouterr().err
    kept = torch.ones(len(TRAIN), dtype=torch.bool)
    kept[[3, 7, 40]] = False
    chosen = data.train.select(kept)
    by_hand = replace(data, train=chosen)
    assert weights(run) == weights(distill(by_hand, FOREST, MLP([8]), out="by-hand", **SETTINGS))
    store = TargetStore("store")
    assert store.fingerprint == label("digits", GivenPredictions(given), out="array", **EXACT).fingerprint


def test_a_store_of_a_teacher_that_lacks_samples_is_refused_as_before(folder: Path) -> None:
    store = label(load_data("digits", subset=100), FOREST, out="store", **EXACT)
    with pytest.raises(MismatchError, match="are not among them"):
        distill(DIGITS, store, MLP([8]), out="run", **SETTINGS)


def test_classes_are_found_by_name_and_others_are_taken_in_order(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    p = np.random.default_rng(1).dirichlet(np.ones(3), 40)
    frame = pandas.DataFrame(p[:, [2, 0, 1]], columns=["emu", "cat", "dog"])
    for number, given in enumerate((frame, p, torch.from_numpy(p).log())):
        store = label(TABLE, GivenPredictions(given), out=f"store{number}", **EXACT)
        found = store.part("train").targets(torch.arange(40), 0).log_probs(1.0).exp()
        torch.testing.assert_close(found, torch.from_numpy(p).float(), rtol=1e-5, atol=1e-7)
        told = "the columns of the predictions of train are taken to be cat, dog, emu in order"
        assert (told in capsys.readouterr().err) == (number > 0)
    with pytest.raises(DataError, match=r"\[samples, 3\].*got \[40, 2\]"):
        label(TABLE, GivenPredictions(p[:, :2]), out="no", **EXACT)
    with pytest.raises(DataError, match=r"has 39 rows, and 'train arrays' has 40 samples; .*id_column="):
        label(TABLE, GivenPredictions(p[:39]), out="no", **EXACT)
    assert not Path("no").exists()


def test_ids_match_rows_of_every_split(folder: Path) -> None:
    p = np.random.default_rng(1).dirichlet(np.ones(3), 49)
    ids = np.concatenate([IDS, np.arange(9)])
    order = np.random.default_rng(2).permutation(49)[:-1]  # one sample has no row, and rows are in another order
    pandas.DataFrame({"customer": ids[order], "p": p[order].tolist()}).to_parquet("all.parquet")
    rows = {"train": (Z, WORDS[np.arange(40) % 3]), "test": (Z[:9], WORDS[np.arange(9) % 3])}
    columns = {"customer": {"train": IDS[:, None].astype(float), "test": np.arange(9.0)[:, None]}}
    data = load_data((*rows["train"], *rows["test"]), columns=columns, validation=0)
    store = label(data, GivenPredictions("all.parquet", id_column="customer"), out="store", **EXACT)
    part = store.part("train")
    known = torch.arange(40) if part.ids is None else part.ids
    found = part.targets(known, 0).log_probs(1.0).exp()
    torch.testing.assert_close(found, torch.from_numpy(p).float()[known], rtol=1e-5, atol=1e-7)
    assert sum(one.samples for one in store.manifest.parts.values()) >= 40
    for settings, said in (
        ({"id_column": "client"}, "has no column 'client'"),
        ({"id_column": "p"}, "have no column 'p' to match ids with"),
        ({}, r"has 48 rows, and 'train arrays' has 40 samples"),
    ):
        with pytest.raises(InstarError, match=said):
            label(data, GivenPredictions("all.parquet", **settings), out="no", **EXACT)
    twice = pandas.DataFrame({"customer": [1, 1], "p": p[:2].tolist()})
    with pytest.raises(DataError, match="must have each id once; '1' is there 2 times"):
        label(data, GivenPredictions(twice, id_column="customer", column="p"), out="no", **EXACT)
    large = load_data((*rows["train"], *rows["test"]), columns={"customer": {"train": IDS[:, None] * 2.0**53}})
    with pytest.raises(MismatchError, match="or whole numbers up to 9,007,199,254,740,992"):
        label(large, GivenPredictions("all.parquet", id_column="customer"), out="no", **EXACT)


def test_what_does_not_go_together_is_refused_in_a_sentence(folder: Path, instar: Callable[..., Any]) -> None:
    np.save("p.npy", P)
    for words, said in (
        (["--from", "p.npy", "--teacher", "runs/a"], "--from is given in place of --teacher; leave out one of the two"),
        (["--teacher", "runs/a", "--values", "logits"], "--values says how --from is read; give --from FILE"),
        (["--from", "p.npy", "--from", "q.npy"], "two files for train"),
        (["--from", "p.npy", "--from", "validation=q.npy"], "there is no file 'q.npy'"),
        (["--from", "p.npy", "--values", "odds"], "values must be probabilities or logits, got 'odds'"),
        (
            ["--from", "p.npy", "--views", "Shift(1)", "--num-views", "2"],
            "of the samples as they are, and the run shows",
        ),
        (["--from", "p.npy", "--column", "p"], "no column 'p'"),
    ):
        code, _, err = instar("label", "digits", *words, "--out", "no")
        assert (code, err.count("\n")) == (2, 1), (words, err)
        assert said in err, (words, err)
    with pytest.raises(ConfigError, match="label them first"):
        package.Ensemble([Classifier(FOREST), GivenPredictions("p.npy")]).fingerprint()
    # a store outlives the file that it was made from
    label("digits", GivenPredictions("p.npy"), out="store", **EXACT)
    Path("p.npy").unlink()
    assert "there is no file 'p.npy'" in verify_targets("store").note
    np.save("p.npy", P[::-1])
    with pytest.raises(InstarError, match="holds targets of a teacher with fingerprint"):
        verify_targets("store")
    assert "teacher: GivenPredictions('p.npy')" in describe_targets("store")
