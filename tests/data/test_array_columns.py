"""Columns of arrays, in files and in data sets of the library, are read as arrays given in Python are."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from tests.older import as_older

from instar.config import DataConfig
from instar.data import Data, load_data
from instar.data.dataset import load_recorded_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import MLP
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train
from instar.runs.files import read_json

RANDOM = np.random.default_rng(0)
LABELS = [0, 1] * 10
COLUMNS = {"input_column": "x", "label_column": "y"}


def rows(values: Any, feature: Any = None, labels: Any = LABELS) -> datasets.Dataset:
    made = datasets.Dataset.from_dict({"x": np.asarray(values).tolist() if feature is None else values, "y": labels})
    return made if feature is None else made.cast_column("x", feature)


def lists(depth: int, dtype: str) -> Any:
    feature = datasets.Value(dtype)
    for _ in range(depth):
        feature = datasets.List(feature)
    return feature


def folder_of(folder: Path, values: Any, feature: Any = None, kind: str = "parquet", labels: Any = LABELS) -> Path:
    folder.mkdir()
    for split in ("train", "test"):
        path = folder / f"{split}.{kind}"
        if kind == "parquet":
            rows(values, feature, labels).to_parquet(path)
        else:
            found = zip(np.asarray(values).tolist(), labels, strict=True)
            path.write_text("".join(json.dumps({"x": x, "y": y}) + "\n" for x, y in found))
    return folder


def loaded(given: Any, **settings: Any) -> Data:
    return load_data(given, **(COLUMNS | {"validation": 0} | settings))


TOKENS = RANDOM.integers(0, 9, (20, 5))
IMAGES = RANDOM.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("values", "feature", "labels", "settings"),
    [
        (IMAGES, lists(3, "uint8"), LABELS, {}),
        (IMAGES, datasets.Array3D((8, 8, 3), "uint8"), LABELS, {}),
        (IMAGES, lists(3, "uint8"), LABELS, {"layout": "CHW"}),
        (RANDOM.random((20, 8, 8, 3)), lists(3, "float64"), LABELS, {}),
        (RANDOM.random((20, 4)).astype(np.float32), lists(1, "float32"), LABELS, {}),
        (TOKENS, lists(1, "int64"), LABELS, {"inputs": "tokens"}),
        (TOKENS, lists(1, "int64"), LABELS, {"inputs": "numbers"}),
        (TOKENS, lists(1, "int32"), np.roll(TOKENS, -1, 1).tolist(), {}),
        (TOKENS > 4, lists(1, "bool"), LABELS, {}),
    ],
)
def test_columns_of_arrays_are_read_as_arrays_are(
    tmp_path: Path, empty_cache: Path, values: Any, feature: Any, labels: Any, settings: dict[str, Any]
) -> None:
    parts = (values, np.array(labels), values, np.array(labels))
    expected = load_data(parts, validation=0, **settings).test.source
    folder = folder_of(tmp_path / "rows", values.tolist(), feature, labels=labels)
    splits = {split: rows(values.tolist(), feature, labels) for split in ("train", "test")}
    for given in (folder, folder, splits):  # the second time from the cache
        found = loaded(given, **settings).test.source
        assert found.fingerprint() == expected.fingerprint()
        assert found.reading.endswith(f"read as {expected.reading}")
        assert found.task == expected.task
        assert (found.given is None) == (expected.given is None)
        assert found.given is None or torch.equal(found.given, expected.given)


def test_whole_numbers_in_files_that_may_be_tokens_are_asked_for(tmp_path: Path, empty_cache: Path) -> None:
    for kind in ("parquet", "jsonl"):
        folder = folder_of(tmp_path / kind, TOKENS, kind=kind)
        with pytest.raises(DataError, match=r"may be numbers or tokens. Set data\.inputs to numbers or tokens"):
            loaded(folder)
        assert loaded(folder, inputs="tokens").train.source.inputs.dtype == torch.int64


def test_axes_of_arrays_in_files_that_may_be_channels_are_asked_for(tmp_path: Path, empty_cache: Path) -> None:
    with pytest.raises(DataError, match=r"4 channels last\. Set data\.layout to CHW or HWC"):
        loaded(folder_of(tmp_path / "cubes", RANDOM.random((20, 4, 4, 4))))


@pytest.mark.parametrize("missing", [float("nan"), None])
def test_numbers_that_are_missing_in_files_are_named(tmp_path: Path, empty_cache: Path, missing: Any) -> None:
    values = RANDOM.random((20, 4)).tolist()
    values[3][1] = missing
    with pytest.raises(DataError, match=r"sample 3 of '.* \(train\)' has NaN or infinity among its inputs"):
        loaded(folder_of(tmp_path / "rows", values, lists(1, "float64")))


def test_lists_of_several_lengths_are_refused_without_advice_about_images(empty_cache: Path) -> None:
    ragged = datasets.Dataset.from_dict({"x": [[0.5, 1.5], [2.5]] * 10, "y": LABELS})
    with pytest.raises(DataError, match=r"input 1 of '.*' has shape \[1\] .* has \[2\] .* All inputs must be alike\.$"):
        loaded(ragged)


def test_lists_of_images_and_of_words_are_no_inputs() -> None:
    images = [[Pictures.new("L", (4, 4), shade)] for shade in range(20)]
    with pytest.raises(DataError, match=r"column 'x' of 'arrays' contains lists of images; a sample must have one"):
        loaded(datasets.Dataset.from_dict({"x": images, "y": LABELS}))
    with pytest.raises(DataError, match="contains neither images nor recordings nor lists of numbers"):
        loaded(rows([["1", "2"]] * 20, lists(1, "string")))


def test_one_column_cannot_be_both_the_input_and_the_label() -> None:
    for values in (RANDOM.random((20, 4)), TOKENS):
        with pytest.raises(DataError, match=r"column 'x' .* both the input and the label\. Choose .* columns: x, y"):
            loaded(rows(values), label_column="x")


def test_settings_of_arrays_are_refused_for_images_in_files(tmp_path: Path, empty_cache: Path) -> None:
    folder = folder_of(tmp_path / "images", [Pictures.new("L", (4, 4))] * 20, datasets.Image())
    with pytest.raises(ConfigError, match=r"'inputs' is a setting of arrays, but '.*images' contains images"):
        loaded(folder, inputs="numbers")


@pytest.mark.parametrize("format_type", ["pandas", "numpy", "torch", "arrow"])
def test_rows_that_are_formatted_for_another_library_are_the_same_rows(empty_cache: Path, format_type: str) -> None:
    plain = rows(RANDOM.random((20, 4)))
    assert loaded(plain.with_format(format_type)).fingerprints() == loaded(plain).fingerprints()


def test_rows_with_a_transform_are_refused_with_what_to_do() -> None:
    changed = rows(TOKENS)
    changed.set_transform(lambda batch: {"z": batch["x"]})
    for given in (changed, (changed, changed), {"train": changed, "test": rows(TOKENS)}):
        with pytest.raises(DataError, match=r"has a transform \(set_transform or with_transform\), .* once with map"):
            loaded(given)


@pytest.fixture
def pixels(tmp_path: Path, empty_cache: Path) -> Path:
    bright = RANDOM.integers(0, 128, (20, 6), dtype=np.uint8) + np.array(LABELS, dtype=np.uint8)[:, None] * 128
    return folder_of(tmp_path / "pixels", bright.tolist(), lists(1, "uint8"))


TINY = {"epochs": 2, "batch_size": 8}


def test_a_run_remembers_how_it_read_the_arrays_of_files(tmp_path: Path, pixels: Path) -> None:
    run = train(loaded(pixels), MLP([8]), out=tmp_path / "run", **TINY)
    assert read_json(run.path / "config.json")["config"]["data"]["inputs"] == "pixels"
    longer = folder_of(tmp_path / "longer", np.tile(TOKENS, 2)[:, :6].tolist(), lists(1, "int64"))
    assert evaluate(run)["nll"] == evaluate(run, pixels)["nll"]
    assert evaluate(run, longer)["nll"] == evaluate(run, loaded(longer, inputs="pixels"))["nll"]


def test_runs_from_before_readings_were_recorded_read_arrays_as_they_did(
    tmp_path: Path, pixels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(loaded(pixels, inputs="numbers"), MLP([8]), out=tmp_path / "run", **TINY)
    expected = evaluate(run)
    as_older(run.path)
    content = json.loads((run.path / "config.json").read_text())
    content["config"]["data"]["inputs"] = None  # as it was recorded then
    (run.path / "config.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert evaluate(run.path) == evaluate(run.path, pixels) == expected
    assert "fingerprint" not in capsys.readouterr().err
    other = folder_of(tmp_path / "other", TOKENS[:, [0, 1, 2, 3, 4, 0]].tolist(), lists(1, "uint8"))
    with pytest.raises(MismatchError, match=r"takes numbers \(float32\), and '.*' holds pixels \(uint8\)"):
        evaluate(run.path, DataConfig(source=str(other)))


def test_the_data_of_a_run_have_the_classes_that_it_found(tmp_path: Path, empty_cache: Path) -> None:
    folder = folder_of(tmp_path / "rows", RANDOM.random((20, 4)), labels=[0, 1, -1, 0] * 5)
    with pytest.raises(DataError, match="may be a class or mark a missing label"):
        loaded(folder)
    assert load_recorded_data(DataConfig(source=str(folder), **COLUMNS)).classes == ("-1", "0", "1")
