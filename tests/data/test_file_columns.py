"""Columns of numbers in files: several inputs by name, and columns beside the inputs, also from the command line."""

import contextlib
import gc
import sys

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import instar
from instar import cli
from instar.config import DataConfig
from instar.data import load_data
from instar.errors import ConfigError, DataError
from instar.runs.run import Run

DRAWS = np.random.default_rng(0)
ROWS = 90
SECRET = DRAWS.normal(size=ROWS)
TABLE = pandas.DataFrame(
    {
        "x": [row.tolist() for row in DRAWS.normal(size=(ROWS, 5))],
        "ids": [row.tolist() for row in DRAWS.integers(0, 9, (ROWS, 4))],
        "mask": [row.tolist() for row in DRAWS.integers(0, 2, (ROWS, 4)) > 0],
        "distance": SECRET,
        "count": DRAWS.integers(0, 50, ROWS),
        "kind": np.where(SECRET > 0, "far", "near"),
    }
)


class Counting(nn.Module):
    """Reads words, their mask and a number by keyword."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(9, 3), nn.Linear(4, num_classes)

    def forward(self, ids: Tensor, mask: Tensor, count: Tensor) -> Tensor:
        return self.out(torch.cat([(self.words(ids) * mask[..., None]).sum(1), count], 1))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    TABLE[:60].to_parquet(tmp_path / "data" / "train.parquet")
    TABLE[60:].to_parquet(tmp_path / "data" / "test.parquet")
    return tmp_path / "data"


def test_they_are_those_of_the_same_arrays(folder):
    found = load_data(folder, input_columns=["ids", "mask", "count"], columns=["distance"], label_column="kind")
    parts = {"train": TABLE[:60], "test": TABLE[60:]}
    inputs = {
        split: {
            "ids": np.stack(rows["ids"]),
            "mask": np.stack(rows["mask"]),
            "count": rows["count"].to_numpy(float)[:, None],
            "label": rows["kind"].tolist(),
        }
        for split, rows in parts.items()
    }
    secret = {split: rows[["distance"]].to_numpy() for split, rows in parts.items()}
    wanted = load_data(inputs, columns={"distance": secret})
    assert found.fingerprints() == wanted.fingerprints()
    assert found.classes == ("far", "near")
    assert found.train.source.input_names == ("ids", "mask", "count")
    assert "inputs ids [4] int64, mask [4] bool, count [1] float32 (columns ids, mask, count" in found.describe()
    assert found.config.columns == ("distance",)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line in this process, and return what it writes to stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["instar", *map(str, words)])
        with contextlib.suppress(SystemExit):
            cli.main()
        return capsys.readouterr().err

    return run


def test_a_run_trains_from_them_and_finds_them_again(tmp_path, folder, command):
    arguments = ["--set", "data.input_columns=[ids,mask,count]", "--set", "data.label_column=kind", "--epochs", "1"]
    run = tmp_path / "run"
    model = ["--model", f"{__name__}:Counting", "--trust"]
    command("train", folder, *model, *arguments, "--out", run)
    assert Run(run).config["data"]["input_columns"] == ["ids", "mask", "count"]
    errors = Run(run).metrics["errors"]
    assert instar.evaluate(run, trust=True)["errors"] == errors
    assert instar.evaluate(run, data=folder, trust=True)["errors"] == errors
    # a file has the probabilities of its arrays, and needs no labels
    arrays = {name: np.stack(TABLE[name][60:]) for name in ("ids", "mask")}
    arrays["count"] = TABLE["count"][60:].to_numpy(float)[:, None]
    wanted = instar.predict_proba(run, arrays, trust=True)
    TABLE[60:].drop(columns=["kind", "distance"]).to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    for file in (folder / "test.parquet", tmp_path / "new.jsonl"):
        np.testing.assert_array_equal(instar.predict_proba(run, str(file), trust=True), wanted)
        found = instar.predict(run, [str(file)], trust=True)
        assert [one.name for one in found] == list(map(str, range(len(TABLE) - 60)))
    assert (np.array([one.label for one in found]) != TABLE["kind"][60:]).sum() == errors
    TABLE[60:].drop(columns=["mask"]).to_parquet(tmp_path / "few.parquet")
    assert "has no column 'mask'" in command("predict", run, tmp_path / "few.parquet", "--trust")


def test_learning_with_privileged_information_takes_two_commands(tmp_path, folder, command):
    common = [folder, "--model", "mlp", "--arg", "widths=[8]", "--set", "data.label_column=kind"]
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    inputs = ["--set", "data.input_columns=[x,distance]", "--reader", "AsIs('distance')"]
    command("train", *common, *inputs, "--epochs", 40, "--set", "training.learning_rate=0.05", "--out", teacher)
    beside = ["--set", "data.input_column=x", "--set", "data.columns=[distance]", "--epochs", "2"]
    told = command("distill", *common, *beside, "--teacher", teacher, "--out", student)
    assert "column 'distance' [1] float32" in told
    found = Run(student).metrics
    assert found["teacher_error"] < 0.2
    assert found["error"] > found["teacher_error"]
    assert instar.load(student)(torch.zeros(1, 5)).shape == (1, 2)
    # each reads its own column of a file
    for run, column in ((student, np.stack(TABLE["x"][60:])), (teacher, TABLE[["distance"]][60:].to_numpy())):
        wanted = instar.predict_proba(run, column.astype(np.float32))
        np.testing.assert_array_equal(instar.predict_proba(run, str(folder / "test.parquet")), wanted)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves metadata.csv open
def test_they_follow_their_rows_where_images_are_left_out_and_a_test_set_is_drawn(tmp_path):
    rows = []
    for number in range(20):
        Image.fromarray(np.full((4, 4), 10 * number, np.uint8)).save(tmp_path / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "label": number % 2, "brightness": 10.0 * number})
    (tmp_path / "3.png").write_bytes(b"no image")
    pandas.DataFrame(rows).to_csv(tmp_path / "metadata.csv", index=False)
    settings = {"label_column": "label", "on_error": "skip", "test": 0.25, "validation": 0}
    data = load_data(tmp_path, columns=["brightness"], **settings)
    assert len(data.train) + len(data.test) == 19
    for samples in (data.train, data.test):
        assert torch.equal(samples.inputs()[:, 0, 0, 0].float(), samples.column("brightness")[:, 0])
    gc.collect()


@pytest.mark.parametrize(
    ("settings", "kind", "sentence"),
    [
        ({"input_column": "x", "columns": ["distanse"]}, DataError, "has no column 'distanse' in train; did you mean"),
        ({"input_column": "x", "columns": ["kind"]}, ConfigError, "'kind' is named twice"),
        ({"input_column": "x", "input_columns": ["ids"]}, ConfigError, "give one of the two"),
        ({"input_columns": ["ids", "words"]}, DataError, "has no column 'words'"),
        ({"input_columns": ["ids"], "columns": ["inputs"]}, DataError, "has no column 'inputs'"),
        ({"input_columns": ["ids"], "inputs": "tokens"}, ConfigError, "is a setting of arrays"),
    ],
)
def test_what_cannot_be_read_is_named(folder, settings, kind, sentence):
    with pytest.raises(kind, match=sentence):
        load_data(folder, label_column="kind", **settings)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([b"a", b"b", b"c", b"d"], "holds binary; expected numbers or lists of numbers"),
        ([1.0, None, 2.0, 3.0], "has no value in row 0"),
        ([[1], [1, 2], [1], [1]], "lists of one length; row 1 has .1., and the first .2."),
    ],
)
def test_values_that_are_no_numbers_are_named(tmp_path, values, sentence):
    table = pandas.DataFrame({"x": [[0.5, 1.5]] * 4, "odd": values, "label": [0, 1, 0, 1]})
    table.to_parquet(tmp_path / "table.parquet")
    settings = {"input_column": "x", "label_column": "label", "test": 0.5}
    with pytest.raises(DataError, match=sentence):
        load_data(tmp_path / "table.parquet", columns=["odd"], **settings)


def test_names_of_columns_need_files():
    with pytest.raises(ConfigError, match="'columns' needs data with columns, but the source 'digits' has none"):
        load_data("digits", columns=["secret"])
    with pytest.raises(ConfigError, match="'input_columns' needs data with columns"):
        load_data(DataConfig(source="digits", input_columns=("a", "b")))
