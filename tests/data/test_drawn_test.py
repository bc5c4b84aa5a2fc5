"""A share of train becomes the test set of data that have none."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from instar.config import DataConfig
from instar.data import load_data
from instar.data.drawn_test import choose_test_samples
from instar.errors import ConfigError, DataError
from instar.models import MLP
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train

COUNTS = {"bird": 1, "cat": 20, "dog": 11}


def write(folder: Path, below: str = "") -> Path:
    """One folder per class; each image has a shade of its own."""
    shade = 0
    for name, count in COUNTS.items():
        (folder / below / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (4, 4), shade := shade + 1).save(folder / below / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("below", ["", "train"])
def test_a_folder_of_classes_gets_a_test_set_of_each_class(tmp_path: Path, below: str) -> None:
    folder = write(tmp_path / "pets", below)
    with pytest.raises(DataError, match=r"found: train\. Set data\.test=0\.2 to draw a fifth of train as the test"):
        load_data(folder)
    data = load_data(folder, test=0.2, validation=0)
    names = [data.classes[label] for label in data.test.labels.tolist()]
    assert Counter(names) == {"cat": 4, "dog": 2}
    shades = [part.inputs()[:, 0, 0, 0].tolist() for part in (data.train, data.test)]
    assert sorted(shades[0] + shades[1]) == list(range(1, 33))
    assert "test set drawn from train (a share of 0.2)" in data.describe()
    assert load_data(data.config).fingerprints() == data.fingerprints()
    other = load_data(folder, test=0.2, validation=0, split_seed=1)
    assert other.test.inputs()[:, 0, 0, 0].tolist() != shades[1]


def test_arrays_get_a_test_set_of_each_class_where_it_is_asked_for() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    given = (np.arange(40, dtype=np.float32)[:, None], labels)
    data = load_data(given, test=0.1, validation=0)
    assert (data.test.labels.tolist(), len(data.train)) == ([0, 0, 0, 1], 36)
    assert len(load_data(given, validation=0).test) == 8  # a fifth of all, as before
    with pytest.raises(ConfigError, match=r"'split_seed' is a setting of the source and cannot be changed"):
        data.select(split_seed=3)


@pytest.mark.parametrize("kind", ["arrays", "lists", "texts", "table", "arrays by name"])
def test_train_by_its_name_alone_gets_the_test_set_of_train_without_a_name(kind: str) -> None:
    numbers, labels = np.arange(40, dtype=np.float32)[:, None], ["a", "b"] * 20
    given = {
        "arrays": (numbers, labels),
        "lists": (numbers.tolist(), labels),
        "texts": ([f"text number {n}" for n in range(40)], labels),
        "table": pd.DataFrame({"n": numbers[:, 0], "plan": ["x", "y", "y", "x"] * 10, "label": labels}),
        "arrays by name": {"left": numbers, "right": numbers, "label": labels},
    }[kind]
    alone, named = (load_data(one, test=0.25) for one in (given, {"train": given}))
    assert named.fingerprints() == alone.fingerprints()
    assert len(named.test) == 10
    with pytest.raises(DataError, match=r"need 'train' and 'test', found: 'train'\. Set data\.test=0\.2"):
        load_data({"train": given})


def test_a_test_split_of_the_data_stays(tmp_path: Path) -> None:
    write(tmp_path / "pets", "train")
    write(tmp_path / "pets", "test")
    assert len(load_data(tmp_path / "pets", test=0.5).test) == 32


def test_classes_of_one_sample_alone_have_no_test_set() -> None:
    with pytest.raises(DataError, match=r"no class of 'pets' has two samples"):
        choose_test_samples(["a", "b", "c"], 0.5, 0, "pets")


def test_evaluate_reads_the_same_test_set(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = DataConfig(source=str(write(tmp_path / "pets")), test=0.2, image_size=2)
    run = train(config, MLP([4]), out=tmp_path / "run", epochs=1, batch_size=4)
    assert evaluate(run)["samples"] == 6
    assert evaluate(run, tmp_path / "pets")["samples"] == 6
    assert "no test split" not in capfd.readouterr().err
    assert evaluate(run, write(tmp_path / "others"))["samples"] == 6  # a fifth of data that may all be new
    assert "others' has no test split; its test set is 6 of its 32 samples" in capfd.readouterr().err
