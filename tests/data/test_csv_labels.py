"""Labels of CSV files are the words that people have written, also 01 and NA."""

import gc
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from instar.data import load_data

CODES = ["01", "02", "10", "02", "01", "10"] * 2


def write_rows(path: Path, labels: list[str], **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(len(labels)):
        Image.new("L", (4, 4), 20 * number).save(path.parent / f"{number}.png")
    files = [f"{number}.png" for number in range(len(labels))]
    # the other columns are read as before
    frame = pd.DataFrame({"file": files, "label": labels, "age": ["07", "NA"] * (len(labels) // 2)})
    frame.to_csv(path, index=False, **options)
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "folder"])
def test_codes_keep_their_leading_zeros(tmp_path, name):
    separator = {"sep": "\t"} if name.endswith("tsv") else {}
    for file in ("train.csv", "test.csv") if name == "folder" else (name,):
        write_rows(tmp_path / name / file if name == "folder" else tmp_path / file, CODES, **separator)
    data = load_data(str(tmp_path / name), label_column="label", test=0.5, validation=0)
    assert data.classes == ("01", "02", "10")
    labels = [data.classes[label] for part in (data.train, data.test) for label in part.labels]
    assert sorted(labels) == sorted(CODES * (2 if name == "folder" else 1))


@pytest.mark.parametrize("labels", [["0", "1"] * 6, ["cat", "dog"] * 6, ["1.0", "2.0"] * 6, ["0", "NA", "1"] * 4])
def test_other_labels_are_read_as_before(tmp_path, labels, capfd):
    path = write_rows(tmp_path / "rows.csv", labels)
    data = load_data(str(path), label_column="label", test=0.5, validation=0)
    kept = {"1.0": "1", "2.0": "2"}
    assert data.classes == tuple(sorted({kept.get(label, label) for label in labels} - {"NA"}))
    assert "warning" not in capfd.readouterr().err


def test_words_that_pandas_takes_for_missing_are_named_and_can_be_classes(tmp_path, capfd):
    path = str(write_rows(tmp_path / "rows.csv", ["None", "mild", "NA", ""] * 3))
    assert load_data(path, label_column="label", test=0.5, validation=0).classes == ("mild",)
    assert "labels of column 'label' that are NA or None are read as missing" in capfd.readouterr().err
    found = load_data(path, label_column="label", labels="classes", test=0.5, validation=0)
    assert found.classes == ("NA", "None", "mild")
    assert sum(int((part.labels < 0).sum()) for part in (found.train, found.test)) == 3  # those without a word
    marked = load_data(path, label_column="label", labels="classes", unlabelled="NA", test=0.5, validation=0)
    assert marked.classes == ("None", "mild")
    assert "warning" not in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the library leaves a metadata.csv open
def test_zeros_that_a_metadata_file_loses_are_named(tmp_path, capfd):
    path = write_rows(tmp_path / "pictures" / "rows.csv", CODES)
    frame = pd.read_csv(path, dtype=str).rename(columns={"file": "file_name"})
    path.unlink()
    frame.to_csv(tmp_path / "pictures" / "metadata.csv", index=False)
    assert load_data(str(path.parent), label_column="label", test=0.5, validation=0).classes == ("1", "2", "10")
    gc.collect()  # closes it here, and not in another test
    assert "such as '01'; write them as text in a metadata.jsonl" in capfd.readouterr().err
    (tmp_path / "pictures" / "metadata.csv").unlink()
    frame.to_json(tmp_path / "pictures" / "metadata.jsonl", orient="records", lines=True)
    assert load_data(str(path.parent), label_column="label", test=0.5, validation=0).classes == ("01", "02", "10")
