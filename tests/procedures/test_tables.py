"""Tables from end to end: trained, taught by a pipeline, predicted from rows, exported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import instar
from instar.data import Loader, load_data
from instar.errors import InstarError, MismatchError
from instar.models import MLP
from instar.models.readers.cell_encoding import CellEncoding
from instar.procedures.predict import predict
from instar.teachers import Classifier


def customers(count: int, seed: int = 0) -> pd.DataFrame:
    """A table of which the plan and the age tell who left."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, count).round(),
            "plan": random.choice(["free", "basic", "pro"], count),
            "since": pd.Timestamp("2021-03-01", tz="Europe/Berlin")
            + pd.to_timedelta(random.integers(0, 900, count), "D"),
            "active": random.random(count) < 0.5,
        }
    )
    leaves = frame["age"].lt(40) & frame["plan"].ne("pro")
    frame.loc[::9, "age"] = np.nan
    return frame.assign(left=np.where(leaves, "yes", "no"))


@pytest.fixture(scope="module")
def data() -> Any:
    return load_data({"train": customers(240), "test": customers(80, seed=1)}, label_column="left")


@pytest.fixture(scope="module")
def student(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("tables") / "student"
    return instar.train(data, MLP([16]), out=out, epochs=20, batch_size=24, learning_rate=0.02)


@pytest.fixture
def without_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what a finished run measures for the report, because it predicts rows as often as seconds allow."""
    for name in ("keep_columns", "write_cost"):
        monkeypatch.setattr(f"instar.stages.finish.{name}", lambda *_: None)


@pytest.mark.usefixtures("without_measurements")
def test_a_table_is_learnt_and_encoded_once(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    encode = CellEncoding.__call__
    monkeypatch.setattr(CellEncoding, "__call__", lambda self, values: rows.append(len(values)) or encode(self, values))
    run = instar.train(data, "linear", out=tmp_path / "run", epochs=4, batch_size=24, learning_rate=0.05)
    assert run.metrics["error"] < 0.2
    assert rows.count(240) == 1  # all training rows, whatever the number of epochs
    assert rows.count(80) == 1
    described = json.loads((run.path / "result.json").read_text())
    assert described["parameters"] == 2 * len(instar.load(run).reader.features) + 2


def test_rows_are_predicted_alike_from_frames_files_and_the_model(student: Any, tmp_path: Path) -> None:
    frame = customers(80, seed=1)
    wanted = instar.predict_proba(student, frame.drop(columns="left"))
    assert ((wanted.argmax(1) == 1) == (frame["left"] == "yes")).mean() > 0.85
    with torch.no_grad():
        found = instar.load(student)(frame[frame.columns[::-1]]).softmax(1).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    for name in ("rows.csv", "rows.parquet"):
        write = frame.to_csv if name.endswith("csv") else frame.to_parquet
        write(tmp_path / name, index=False)
        np.testing.assert_allclose(instar.predict_proba(student, tmp_path / name), wanted, atol=1e-6)


def test_the_command_predicts_a_file_of_rows(
    student: Any, tmp_path: Path, instar: Callable[..., tuple[int, str, str]]
) -> None:
    customers(80, seed=1).to_csv(tmp_path / "rows.csv", index=False)
    code, out, err = instar("predict", student.path, tmp_path / "rows.csv")
    assert code == 0, err
    wanted = predict(student, customers(80, seed=1))
    assert out.splitlines() == [str(one) for one in wanted]


def test_rows_of_another_table_are_refused_in_a_sentence(student: Any, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"'new rows' has no column 'plan', which the model reads"):
        instar.predict(student, customers(3).drop(columns="plan"))
    with pytest.raises(MismatchError, match=r"one CSV, JSON or Parquet file; got photo\.jpg"):
        instar.predict(student, "photo.jpg")
    with pytest.raises(MismatchError, match=r"inputs of 'train arrays' are rows of a table; leave the views out"):
        instar.train(
            load_data({"train": customers(40), "test": customers(40)}, label_column="left"),
            "linear",
            out=tmp_path / "views",
            views="Shift(1)",
            epochs=1,
        )


SEEN: list[pd.DataFrame] = []
"""What every witness was given; no attribute, because the fingerprint of a teacher covers those."""


class Witness(ClassifierMixin, BaseEstimator):
    """A logistic regression that keeps the data frames that it is given."""

    def fit(self, frame: pd.DataFrame, labels: Any) -> "Witness":
        words, numbers = ["plan"], ["age", "active"]
        encoder = make_column_transformer((OneHotEncoder(), words), (StandardScaler(), numbers))
        self.pipeline_ = make_pipeline(encoder, FillMissing(), LogisticRegression()).fit(frame, labels)
        self.classes_, self.feature_names_in_ = self.pipeline_.classes_, np.array(frame.columns, dtype=object)
        return self

    def predict(self, frame: pd.DataFrame) -> Any:
        return self.pipeline_.predict(frame)

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        SEEN.append(frame)
        return self.pipeline_.predict_proba(frame)


class FillMissing(BaseEstimator):
    def fit(self, values: Any, labels: Any = None) -> "FillMissing":
        self.fitted_ = True
        return self

    def transform(self, values: Any) -> Any:
        return np.nan_to_num(np.asarray(values, dtype=float))


def test_a_pipeline_sees_the_very_frame_that_it_was_fitted_on(data: Any) -> None:
    frame = customers(240)
    given = frame.drop(columns="left")
    teacher = Witness().fit(given, frame["left"])
    source = data.train.source
    batch = next(Loader(data.train, 50, seed=0).in_order())
    targets = Classifier(teacher).targets(batch)
    pd.testing.assert_frame_equal(SEEN[-1], given.iloc[batch.ids.numpy()])
    wanted = teacher.pipeline_.predict_proba(given.iloc[batch.ids.numpy()])
    assert list(teacher.classes_) == list(source.classes)
    np.testing.assert_allclose(targets.log_probs(1.0).exp().numpy(), wanted, atol=1e-6)


@pytest.mark.usefixtures("without_measurements")
def test_a_pipeline_teaches_a_student_and_is_asked_once_for_each_row(data: Any, tmp_path: Path) -> None:
    frame = customers(240)
    teacher = Witness().fit(frame.drop(columns="left"), frame["left"])
    SEEN.clear()
    settings = {"epochs": 30, "batch_size": 24, "learning_rate": 0.03}
    run = instar.distill(data, teacher, MLP([8]), out=tmp_path / "student", **settings)
    assert run.metrics["agreement"] > 0.9
    # training rows once, whatever the number of epochs, and test and validation rows where the result is judged
    assert sum(map(len, SEEN)) < 2 * (240 + 80)
    instar.report(run.path, out=tmp_path / "report.html")
    assert "plan: pro; since: 20" in (tmp_path / "report.html").read_text()  # the rows that the explorer shows


def test_a_teacher_of_another_table_reads_columns_and_words_by_name(student: Any, tmp_path: Path) -> None:
    frame = customers(120, seed=3)
    other = load_data(
        {
            "train": frame[["left", "plan", "active", "since", "age"]].assign(region="north"),
            "test": frame.assign(region="x"),
        },
        label_column="left",
    )
    run = instar.distill(other, student, "linear", out=tmp_path / "run", epochs=2, batch_size=24)
    wanted = instar.predict_proba(student, frame)
    assert run.metrics["teacher_error"] == pytest.approx(((wanted.argmax(1) == 1) != (frame["left"] == "yes")).mean())
    with pytest.raises(InstarError, match="no column 'since'"):
        instar.distill(
            load_data({split: frame.drop(columns="since") for split in ("train", "test")}, label_column="left"),
            student,
            "linear",
            out=tmp_path / "lacking",
            epochs=1,
        )


def test_an_onnx_file_reads_raw_cells_and_says_what_they_are(student: Any, tmp_path: Path, data: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    pytest.importorskip("onnxscript", reason="needs the extra export")
    instar.export(student, to="onnx", out=tmp_path / "model.onnx", data=data)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    header = json.loads(metadata["instar"])
    columns = header["inputs"]["columns"]
    assert [(column["name"], column["kind"]) for column in columns] == [
        ("age", "number"),
        ("plan", "word"),
        ("since", "date"),
        ("active", "boolean"),
    ]
    assert columns[1]["categories"] == ["basic", "free", "pro"]
    assert json.loads(metadata["classes"]) == ["no", "yes"]
    assert "plan (0 = basic, 1 = free, 2 = pro; -1 = any other word)" in metadata["inputs"]
    # by hand, as another program would
    frame = customers(80, seed=1)
    words = {"basic": 0, "free": 1, "pro": 2}
    raw = np.stack(
        [
            frame["age"].to_numpy(),
            frame["plan"].map(words).to_numpy(dtype=float),
            np.array([one.timestamp() for one in frame["since"]]),
            frame["active"].to_numpy(dtype=float),
        ],
        1,
    )
    (logits,) = session.run(["logits"], {"inputs": raw})
    wanted = instar.predict_proba(student, frame)
    np.testing.assert_allclose(torch.tensor(logits).softmax(1).numpy(), wanted, atol=1e-5)
    instar.export(student, to="hub", out=tmp_path / "hub", data=data)
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "plan (0 = basic" in card
    with torch.no_grad():
        again = instar.load(tmp_path / "hub")(frame).softmax(1).numpy()
    np.testing.assert_allclose(again, wanted, atol=1e-6)


def test_a_run_is_judged_again_on_its_table(student: Any, data: Any) -> None:
    assert instar.evaluate(student, data)["errors"] == student.metrics["errors"]
