"""Values that would be read as something else are refused or told: cells, predictions, labels and sound."""

import gc
from datetime import datetime

import datasets
import numpy as np
import pandas
import pyarrow
import pytest
import soundfile
from sklearn.tree import DecisionTreeClassifier

import instar
from instar.data import load_data
from instar.data.sound import decode_sound
from instar.data.tables.values import read_quantities
from instar.errors import DataError
from instar.targets.prediction_files import find_matrix
from instar.targets.prediction_values import as_logits
from instar.teachers.given import GivenPredictions


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        ([1_700_000_000, None], "date", "type int64, and dates are expected"),  # of seconds, or of milliseconds
        ([datetime(2024, 5, 1), None], "number", r"type timestamp\[us\], and numbers are expected"),
        ([0, 1, None, 5], "boolean", "row 3 holds 5; expected 0 or 1"),
    ],
)
def test_cells_of_another_type_are_no_numbers_of_the_expected_one(values, kind, told):
    with pytest.raises(DataError, match=told):
        read_quantities(pyarrow.chunked_array([values]), kind, "column 'x'")


def test_given_rows_in_another_order_are_refused_where_a_column_shows_it(tmp_path):
    numbers = np.arange(12)
    rows = pandas.DataFrame({"age": numbers[::-1] / 7, "id": numbers, "label": np.where(numbers % 2, "b", "a")})
    rows.to_csv(tmp_path / "train.csv", index=False)
    rows.to_csv(tmp_path / "test.csv", index=False)
    data = load_data(str(tmp_path), label_column="label", columns=["id"], validation=0)
    given = {"a": np.full(12, 0.25), "b": np.full(12, 0.75), "id": numbers[::-1].astype(float)}
    with pytest.raises(DataError, match="column 'id', and 12 rows differ in it"):
        GivenPredictions(pandas.DataFrame(given)).match(data.splits)
    GivenPredictions(pandas.DataFrame(given), id_column="id").match(data.splits)
    GivenPredictions(pandas.DataFrame(given | {"id": numbers})).match(data.splits)


def test_given_probabilities_have_finite_logits_and_are_real():
    assert as_logits(np.array([[1e-300, 1.0], [0.5, 0.5]]), None, "a.npy").isfinite().all()
    with pytest.raises(DataError, match="must hold real numbers"):
        find_matrix({"": np.ones((2, 2), complex)}, ["a", "b"], None, "a.npy")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves metadata.csv open
def test_a_table_of_recordings_tells_of_labels_that_are_missing_words_and_of_files_in_two_rows(tmp_path, capsys):
    for name in "abcd":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(800), 8000)
    rows = ["a.wav,NA", "b.wav,EU", "c.wav,NA", "d.wav,EU", "b.wav,NA"]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,place", *rows]))
    load_data(str(tmp_path), label_column="place", states=0, validation=0, test=0.5)
    told = capsys.readouterr().err
    assert "labels of column 'place' in metadata.csv are read as missing, such as 'NA'" in told
    gc.collect()
    assert "1 recordings of" in told
    assert "have several rows in the table, such as 'b.wav'" in told


def test_the_rest_of_a_truncated_recording_is_none(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[:900])
    piped = content[:4] + b"\xff\xff\xff\xff" + content[8:]  # as programs write that do not know the length
    for recording in ({"bytes": None, "path": str(tmp_path / "cut.wav")}, {"bytes": content[:900], "path": None}):
        with pytest.raises(ValueError, match="truncated: its header tells of 1,644 bytes, found 900"):
            decode_sound(recording)
    assert len(decode_sound({"bytes": piped, "path": None}).wave) == 800


def test_new_rows_of_a_file_have_the_names_of_their_classes_and_not_their_numbers(tmp_path):
    plans = datasets.ClassLabel(names=["2", "0", "1"])  # whose numbers are 0, 1, 2
    features = datasets.Features({"plan": plans, "age": datasets.Value("float64"), "label": datasets.Value("string")})
    numbers = [0, 1, 2] * 8
    rows = {"plan": numbers, "age": np.arange(24.0)[::-1] / 7, "label": ["yes" if at else "no" for at in numbers]}
    for split in ("train", "test"):
        datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / f"{split}.parquet")
    data = load_data(str(tmp_path), label_column="label", validation=0)
    run = instar.train(data, "linear", out=tmp_path / "run", epochs=1, show=False)
    frame = pandas.DataFrame({"plan": [plans.names[at] for at in numbers], "age": rows["age"]})
    found = instar.predict_proba(run, str(tmp_path / "test.parquet"))
    np.testing.assert_array_equal(found, instar.predict_proba(run, frame))


def test_a_classifier_of_numbers_tells_which_classes_it_takes_them_for(capsys):
    inputs, labels = np.eye(4)[np.arange(20) % 4], np.arange(20) % 2
    data = load_data((inputs, np.where(labels, "yes", "no")), validation=0, test=0.2)
    instar.evaluate(DecisionTreeClassifier().fit(inputs, labels), data=data)
    assert "the classes of the teacher are numbers, and are taken to be no, yes in order" in capsys.readouterr().err
