"""Predictions in files: what each format holds, and what numbers cannot be."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from instar.errors import DataError
from instar.targets.prediction_files import find_matrix, read_prediction_file
from instar.targets.prediction_values import as_logits

CLASSES = ("cat", "dog", "emu")
P = np.random.default_rng(0).dirichlet(np.ones(3), 5)
FRAME = pandas.DataFrame({"id": range(5), "emu": P[:, 2], "cat": P[:, 0], "dog": P[:, 1]})
LISTS = pandas.DataFrame({"id": range(5), "p": [row.tolist() for row in P]})


def write(path: Path) -> None:
    """Write the same probabilities in the way that the name of a file says."""
    table = LISTS if "lists" in path.name else FRAME
    match path.suffix:
        case ".npy":
            np.save(path, P)
        case ".npz":
            np.savez(path, p=P, id=np.arange(5))
        case ".parquet":
            table.to_parquet(path)
        case ".csv":
            table.to_csv(path, index=False, encoding="utf-8-sig")  # a BOM, as spreadsheets write it
        case ".tsv":
            table.to_csv(path, index=False, sep="\t")
        case ".json":
            table.to_json(path, orient="records", double_precision=15)
        case _:
            table.to_json(path, orient="records", lines=True, double_precision=15)


FORMATS = [f"{kind}.{end}" for kind in ("names", "lists") for end in ("parquet", "csv", "tsv", "json", "jsonl")]


@pytest.mark.parametrize("name", ["a.npy", "a.npz", *FORMATS])
def test_every_format_holds_the_same_predictions(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    found, is_named = find_matrix(read_prediction_file(tmp_path / name), CLASSES, None, "it")
    np.testing.assert_allclose(found, P, rtol=0, atol=1e-15)
    assert is_named == name.startswith("names")
    np.testing.assert_allclose(as_logits(found, None, "it").double().softmax(1), P, atol=1e-7)


def test_json_may_be_lists_by_column_or_a_list_of_lists(tmp_path: Path) -> None:
    for content in (FRAME.to_dict("list"), {"p": P.tolist()}, P.tolist()):
        (tmp_path / "a.json").write_text(json.dumps(content))
        np.testing.assert_allclose(find_matrix(read_prediction_file(tmp_path / "a.json"), CLASSES, None, "it")[0], P)


def test_a_file_runs_no_code_and_one_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    (tmp_path / "pickled.npy").write_bytes(pickle.dumps(P))
    for name in ("broken.npy", "broken.npz", "broken.parquet", "broken.json", "broken.jsonl"):
        (tmp_path / name).write_bytes(b"{nothing")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=f"{path.name}' cannot be read: "):
            read_prediction_file(path)
    with pytest.raises(DataError, match="there is no file"):
        read_prediction_file(tmp_path / "missing.npy")
    with pytest.raises(DataError, match=r"must be a file of predictions \(\.npy, \.npz,"):
        read_prediction_file(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("columns", "column", "said"),
    [
        ({"cat": P[:, 0], "dog": P[:, 1]}, None, "has columns of the classes cat, dog, and none of emu"),
        ({"a": P[:, 0]}, None, r"no column of predictions: expected one column per class \(cat, dog, emu\).*found a"),
        ({"a": P, "b": P}, None, "no column of predictions"),
        ({"a": P}, "b", "no column 'b'"),
        ({"": P[:, :2]}, None, r"must hold \[samples, 3\], one column per class of the data, got \[5, 2\]"),
        ({"p": np.array([[1, 0, 0], [0, 1]], dtype=object)}, None, "must have 3 numbers in each row.*row 1 has 2"),
        ({"": np.full((5, 3), "a")}, None, "must hold numbers"),
    ],
)
def test_columns_that_are_no_predictions_are_refused(columns: Any, column: str | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        find_matrix(columns, CLASSES, column, "it")


@pytest.mark.parametrize(
    ("numbers", "meaning", "said"),
    [
        ([[0.5, 0.6]], None, "can be probabilities or logits: none is negative, and rows do not sum to 1; say which"),
        ([[1.5, -0.5]], None, "can be probabilities or logits: some are negative, and every row sums to 1"),
        ([[50, 50]], None, "can be probabilities or logits"),
        ([[0.5, 0.6]], "probabilities", r"must sum to 1 in each row, within 0\.001; row 0 sums to 1\.1"),
        (
            [[0.5, 0.5], [1.5, -0.5]],
            "probabilities",
            "must be at least 0; 1 rows have a negative one, the first is row 1",
        ),
        (
            [[0.5, np.nan], [0.5, 0.5]],
            None,
            "only NaN in a row without a prediction; 1 rows have NaN, the first is row 0",
        ),
        ([[np.inf, 0]], "logits", "must hold finite numbers"),
        ([[np.nan, np.nan]], None, "holds no predictions: every row is empty"),
    ],
)
def test_numbers_that_are_no_predictions_or_not_clear_are_refused(numbers: Any, meaning: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_logits(np.array(numbers, dtype=float), meaning, "it")


def test_logits_stay_as_they_are_and_a_probability_of_zero_has_a_floor() -> None:
    logits = np.array([[-3.0, 2.0], [0.0, 0.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(as_logits(logits, None, "it"), logits.astype(np.float32))
    zeros = np.array([[1.0, 0.0], [1 - 1e-9, 1e-9], [0.0, 0.0]])
    found = as_logits(zeros, None, "it").double().exp()
    assert float(found[0, 1]) == pytest.approx(1e-9, rel=1e-5)
    assert found[2].isnan().all(), "nobody voted"
    assert as_logits(zeros[:1], "probabilities", "it").exp()[0, 1] == pytest.approx(1e-6)
    # in float16, 100 probabilities sum to 1 within 1e-3
    rounded = np.random.default_rng(0).dirichlet(np.ones(100), 50).astype(np.float16).astype(float)
    assert as_logits(rounded, None, "it").isfinite().all()
