"""Predictions are matched with samples by ids that are words or long numbers, and by nothing that is rounded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from instar.data import load_data
from instar.data.dataset import Data
from instar.errors import DataError, InstarError
from instar.procedures.label import label
from instar.targets import TargetStore
from instar.teachers import GivenPredictions

COUNT = 40
P = np.random.default_rng(1).uniform(0.05, 0.95, COUNT)
ORDER = np.random.default_rng(2).permutation(COUNT)
LONG = np.arange(COUNT) + 100_000_001
HUGE = np.arange(COUNT) + (1 << 62) + 1
WORDS = [f"C{number}" for number in range(COUNT)]
ZEROS = [f"{number:03d}" for number in range(COUNT - 1)] + ["C7"]
SETTINGS: dict[str, Any] = {"label_column": "y", "test": 0.25, "columns": ["id"], "validation": 0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where files are written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(ids: Any, kind: str = "table") -> pandas.DataFrame:
    """Samples whose first feature tells which prediction is theirs."""
    given = P if kind == "table" else [f"about {p} and more" for p in P]
    return pandas.DataFrame({"id": ids, "x": given, "y": np.where(np.arange(COUNT) % 2, "yes", "no")})


def write(frame: pandas.DataFrame, path: str) -> str:
    if path.endswith("parquet"):
        frame.to_parquet(path)
    elif path.endswith("npz"):
        ids = frame["id"].to_numpy()
        np.savez(path, id=ids.astype(str) if ids.dtype.kind not in "iu" else ids, p=frame[["no", "yes"]].to_numpy())
    elif path.endswith("jsonl"):
        frame.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        frame.to_csv(path, index=False)
    return path


def predictions(ids: Any) -> pandas.DataFrame:
    return pandas.DataFrame({"id": ids, "no": 1 - P, "yes": P}).iloc[ORDER]


def in_python(ids: Any) -> Data:
    """The first 30 rows as training samples and the others as test samples, with ids as a column that is given."""
    given, own = rows(ids), np.array(ids) if ids is WORDS else ids[:, None].astype(float)
    parts = {"train": slice(30), "test": slice(30, None)}
    return load_data(
        {split: (given[["x"]][part], given["y"][part]) for split, part in parts.items()},
        columns={"id": {split: own[part] for split, part in parts.items()}},
        validation=0,
    )


def assert_matched(data: Data, path: str) -> None:
    teacher = GivenPredictions(path, id_column="id").match(data.splits)
    for split in data.splits.values():
        own, logits = teacher._known[split.source.fingerprint()]
        if texts := split.source.input_texts:
            told = torch.tensor([float(text.split()[1]) for text in texts[0].strings()])
        else:
            told = (table.values if (table := split.source.table) else split.source.inputs).flatten()
        torch.testing.assert_close(logits.exp()[own][:, 1], told.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ids", [WORDS, ZEROS, LONG, HUGE], ids=["words", "zeros", "long", "huge"])
@pytest.mark.parametrize("path", ["p.csv", "p.parquet", "p.npz", "p.jsonl"])
def test_each_id_finds_its_prediction_in_every_kind_of_file(ids: Any, path: str) -> None:
    data = load_data(write(rows(ids), "rows.parquet" if path == "p.parquet" else "rows.csv"), **SETTINGS)
    write(predictions(ids), path)
    assert_matched(data, path)


@pytest.mark.parametrize("ids", [WORDS, LONG], ids=["words", "long"])
def test_ids_of_texts_and_those_given_in_python_are_matched_too(ids: Any) -> None:
    write(predictions(ids), "p.csv")
    assert_matched(load_data(write(rows(ids, "texts"), "texts.csv"), input_column="x", **SETTINGS), "p.csv")
    assert_matched(in_python(ids), "p.csv")


def test_words_are_matched_by_a_command(instar: Callable[..., Any]) -> None:
    write(rows(WORDS), "rows.csv")
    write(predictions(WORDS), "p.csv")
    sets = [part for one in ("label_column=y", "test=0.25", "columns=[id]") for part in ("--set", f"data.{one}")]
    code, _, err = instar("label", "rows.csv", *sets, "--from", "p.csv", "--id-column", "id", "--out", "store")
    assert code == 0, err
    assert {name: part.samples for name, part in TargetStore("store").manifest.parts.items()} == {
        "train": 30,
        "test": 10,
    }


def test_long_ids_change_no_fingerprint() -> None:
    data = load_data(write(rows(LONG), "rows.csv"), **SETTINGS)
    rounded = load_data(write(rows(LONG.astype(np.float32).astype(np.int64)), "rows2.csv"), **SETTINGS)
    column, other = (one.train.source.held["id"] for one in (data, rounded))
    assert column.exact is not None
    assert (column.values.dtype, column.fingerprint()) == (torch.float32, other.fingerprint())


def test_missing_repeated_and_unknown_ids_are_refused_by_name() -> None:
    data = load_data(write(rows(WORDS), "rows.csv"), **SETTINGS)
    good = predictions(WORDS)
    for change, said in (
        ({"C7": "C8"}, "column 'id' of 'p.csv' must have each id once; 'C8' is there 2 times"),
        ({"C7": ""}, "column 'id' of 'p.csv' must have an id in each row; 1 have none, the first is row"),
        ({"C7": "c7", "C9": " C9"}, r"'p.csv' has 2 of 40 rows with ids that no sample of the data has: '( C9|c7)', '"),
        ({word: f"{word}x" for word in WORDS}, r"has 40 of 40 rows with ids that no sample .*, \.\.\.; leave out"),
    ):
        write(good.assign(id=good["id"].replace(change)), "p.csv")
        with pytest.raises(DataError, match=said):
            label(data, GivenPredictions("p.csv", id_column="id"), out="no", show=False)
    twice = load_data(write(rows(["C1", *WORDS[1:]]), "twice.csv"), **SETTINGS)
    write(good, "p.csv")
    with pytest.raises(InstarError, match=r"'C1' is there 2 times|'C0'"):
        label(twice, GivenPredictions("p.csv", id_column="id"), out="no", show=False)


def test_rows_in_another_order_are_refused_where_long_or_word_ids_show_it() -> None:
    for ids in (WORDS, LONG):
        data = in_python(ids)
        own = predictions(ids).sort_index().iloc[: len(data.train.source)]
        with pytest.raises(DataError, match=r"column 'id', and .* rows differ in it"):
            GivenPredictions(own.iloc[::-1]).match(data.splits)
