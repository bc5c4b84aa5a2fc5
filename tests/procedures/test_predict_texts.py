"""Files and data frames of texts are predicted as the same strings are."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import instar
from instar.errors import DataError, MismatchError
from instar.runs.run import Run
from instar.stages.new_inputs import InputReading

TEXTS = ["a warm film", 'dull,\nand "slow"', "", "良い映画"]
SETTINGS = {"epochs": 1, "batch_size": 8, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    texts, labels = ["a warm film", "dull and slow", "良い映画"] * 8, ["good", "bad", "fair"] * 8
    data = instar.load_data({"train": (texts, labels), "test": (texts, labels)}, validation=0)
    return instar.train(data, "bag", out=tmp_path_factory.mktemp("run") / "run", **SETTINGS)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Run:
    frame = pd.DataFrame({"said": ["a warm film", "dull"] * 8, "meant": ["warm", "slow film"] * 8, "label": [0, 1] * 8})
    folder = tmp_path_factory.mktemp("pairs")
    frame.to_parquet(folder / "rows.parquet")
    data = instar.load_data(folder / "rows.parquet", input_columns=["said", "meant"], test=0.25, validation=0)
    return instar.train(data, "bag", out=folder / "run", **SETTINGS)


def test_rows_of_files_and_frames_are_their_texts(run: Run, tmp_path: Path) -> None:
    frame = pd.DataFrame({"review": [TEXTS[0], TEXTS[1], None, TEXTS[3]], "label": list("wxyz"), "stars": range(4)})
    frame.to_csv(tmp_path / "rows.csv", index=False, encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "rows.parquet")
    named = frame.rename(columns={"review": "text", "label": "note"})  # another column of words
    named.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    wanted = instar.predict_proba(run, TEXTS)
    files = [tmp_path / name for name in ("rows.csv", "rows.parquet", "rows.jsonl")]
    for given in [*files, str(files[0]), [files[1]], frame, frame["review"]]:
        np.testing.assert_array_equal(instar.predict_proba(run, given), wanted)
    assert [one.name for one in instar.predict(run, files[0])] == TEXTS


def test_each_line_of_a_text_file_is_a_text(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.txt").write_bytes("\ufeffa warm film\r\n\r\n良い映画".encode())
    found = instar.predict(run, tmp_path / "new.txt")
    assert found == instar.predict(run, ["a warm film", "", "良い映画"])
    assert "each line of" in capsys.readouterr().err
    (tmp_path / "new.txt").write_text("a warm film\n\n良い映画\n")  # the last line ends
    assert instar.predict(run, tmp_path / "new.txt") == found


def test_each_file_is_a_text_where_each_file_was_one_in_training(tmp_path: Path) -> None:
    for number in range(12):
        for split, label in (("train", "good"), ("train", "bad"), ("test", "good"), ("test", "bad")):
            file = tmp_path / "data" / split / label / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text({"good": "warm\nand funny", "bad": "dull\nand slow"}[label])
    run = instar.train(tmp_path / "data", "bag", out=tmp_path / "run", **SETTINGS)
    files = [tmp_path / "data/test" / label / "0.txt" for label in ("good", "bad")]
    wanted = instar.predict_proba(run, ["warm\nand funny", "dull\nand slow"])
    np.testing.assert_array_equal(instar.predict_proba(run, files), wanted)


def test_pairs_are_found_by_the_columns_of_training(pairs: Run, tmp_path: Path) -> None:
    rows = [{"meant": "warm", "other": "x", "said": "dull"}, {"meant": "", "other": "y", "said": "a warm film"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    wanted = instar.predict_proba(pairs, [("dull", "warm"), ("a warm film", "")])
    np.testing.assert_array_equal(instar.predict_proba(pairs, tmp_path / "rows.jsonl"), wanted)
    with pytest.raises(MismatchError, match=r"'new texts' has no column 'meant', which .* was trained on"):
        instar.predict(pairs, pd.DataFrame({"said": ["a"], "means": ["b"]}))


def test_a_language_model_names_what_writes_text() -> None:
    tokens = InputReading("'run'", (5,), "int32", {"source": "folder"})
    with pytest.raises(MismatchError, match=r"'run' takes tokens; .* or its generate method\."):
        next(tokens.read("who sings"))


def test_what_is_not_sure_to_be_a_text_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"there is no file 'gone\.csv'"):
        instar.predict(run, "gone.csv")
    with pytest.raises(MismatchError, match="a column of texts called text; its columns of texts: one, two"):
        instar.predict(run, pd.DataFrame({"one": ["a"], "two": ["b"]}))
    with pytest.raises(DataError, match="column 'text' of 'new texts' holds int64"):
        instar.predict(run, pd.DataFrame({"text": [1, 2]}))
    (tmp_path / "latin.txt").write_bytes("été".encode("latin-1"))
    with pytest.raises(DataError, match="is no text in UTF-8"):
        instar.predict(run, tmp_path / "latin.txt")
    (tmp_path / "new.txt").write_text("a")
    with pytest.raises(MismatchError, match="takes one file with many texts, got 2"):
        instar.predict(run, [tmp_path / "new.txt", tmp_path / "new.txt"])
