"""Labels that are numbers: how they are read from all kinds of data, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from instar.data import Loader, load_data
from instar.errors import ConfigError, DataError
from instar.tasks import Classification, Regression

INPUTS = np.arange(12, dtype=np.float32).reshape(6, 2)
NUMBERS = [1.5, -1.0, 0.0, 7.25, 1.5, 3.0]


def load(numbers, **settings):
    settings = {"labels": "numbers", "validation": 0} | settings
    return load_data({"train": (INPUTS, numbers), "test": (INPUTS[:2], numbers[:2])}, **settings)


def numbers_of(samples):
    return torch.where(samples.labels == 0, samples.column("numbers"), torch.nan)


@pytest.mark.parametrize(
    "labels",
    [NUMBERS, np.array(NUMBERS), torch.tensor(NUMBERS), pd.Series(NUMBERS), np.array(NUMBERS, dtype=np.float16)],
    ids=lambda labels: type(labels).__name__,
)
def test_numbers_are_read_as_they_are_and_minus_one_is_a_number(labels):
    data = load(labels)
    assert numbers_of(data.train).tolist() == NUMBERS
    assert data.classes == ("label",)
    task = data.train.source.task
    assert (task.mean, task.std) == pytest.approx((np.mean(NUMBERS), np.std(NUMBERS)))
    assert numbers_of(data.test).tolist() == NUMBERS[:2]
    assert "labels are the number 'label' (2.0417 ± 2.6474)" in data.describe()


def test_whole_numbers_are_classes_unless_the_user_says_otherwise():
    whole = [3, 3, 4, 4, 5, 5]
    assert isinstance(load(whole, labels=None).train.source.task, Classification)
    assert isinstance(load(whole).train.source.task, Regression)
    with pytest.raises(DataError, match=r"has the label 1\.5\. Set data.labels=numbers if they are quantities"):
        load(NUMBERS, labels=None)
    with pytest.raises(DataError, match=r"or data.labels=numbers if they are quantities\."):
        load_data((np.zeros((30, 2)), np.arange(30) * 7 + 100), validation=0)


def test_missing_numbers_and_hidden_ones_are_unlabelled():
    data = load([1.5, None, np.nan, 9, 2, 3], unlabelled=9)
    assert data.train.labels.tolist() == [0, -1, -1, -1, 0, 0]
    assert load(NUMBERS, drop_labels=0.5).train.labels.tolist().count(-1) == 3


def test_a_selection_and_a_new_source_keep_the_number_of_each_sample():
    data = load_data((INPUTS, NUMBERS), labels="numbers", validation=0)  # which draws a test set
    for samples in (data.train, data.test):
        places = [INPUTS.tolist().index(row) for row in samples.inputs().tolist()]
        assert numbers_of(samples).tolist() == [NUMBERS[place] for place in places]
        batch = Loader(samples, 2, seed=0).batch(0)
        wanted = [NUMBERS[INPUTS.tolist().index(row)] for row in batch.inputs.tolist()]
        assert batch.numbers.tolist() == wanted


def test_numbers_are_part_of_the_fingerprint():
    changed = [*NUMBERS[:-1], 3.5]
    assert load(NUMBERS).train.source.fingerprint() == load(np.array(NUMBERS)).train.source.fingerprint()
    assert load(NUMBERS).train.source.fingerprint() != load(changed).train.source.fingerprint()


def test_files_of_rows_texts_and_images_have_numbers(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    frame = pd.DataFrame({"size": np.arange(40) / 3, "price": np.linspace(326, 18823, 40).round(2)})
    frame.loc[3, "price"] = np.nan
    (tmp_path / "rows").mkdir()
    frame[:30].to_csv(tmp_path / "rows" / "train.csv", index=False)
    frame[30:].to_csv(tmp_path / "rows" / "test.csv", index=False)
    table = load_data(tmp_path / "rows", label_column="price", labels="numbers", validation=0)
    assert numbers_of(table.train)[:3].tolist() == pytest.approx(frame["price"][:3].tolist())
    assert table.train.labels[3] == -1
    assert table.classes == ("price",)

    texts = pd.DataFrame({"text": [f"review number {number}" for number in range(8)], "stars": np.arange(8) / 2})
    given = load_data({"train": texts, "test": texts}, label_column="stars", labels="numbers", validation=0)
    assert numbers_of(given.train).tolist() == texts["stars"].tolist()

    folder = tmp_path / "photos" / "train"
    folder.mkdir(parents=True)
    for number in range(4):
        pillow.new("L", (8, 8), number * 20).save(folder / f"{number}.png")
    ages = pd.DataFrame({"file_name": [f"{number}.png" for number in range(4)], "age": [0.5, 30.25, 61.0, 8.0]})
    ages.to_json(folder / "metadata.jsonl", orient="records", lines=True)
    for _ in range(2):  # decoded, and from the cache
        images = load_data(tmp_path / "photos", label_column="age", labels="numbers", validation=0, test=0.25)
        known = {
            int(image.max()) // 20: float(number)
            for image, number in zip(images.train.inputs(), numbers_of(images.train), strict=True)
        }
        assert all(ages["age"][place] == number for place, number in known.items())


@pytest.mark.parametrize(
    ("labels", "settings", "sentence"),
    [
        (["low", "high"] * 3, {}, r"labels must be numbers .*; sample 0 of '.*' has the label 'low' \(str\)"),
        ([True, False] * 3, {}, r"has the label .*(True|np.True_)"),
        ([1.0, np.inf, 2, 3, 4, 5], {}, "labels must be finite; sample 1 of"),
        ([2.0] * 6, {}, "the training labels of '.*' are all 2; numbers need at least two different labels"),
        ([None] * 6, {}, "no sample has a label"),
        ([None, None, 3.0, None, None, None], {}, "the training labels of '.*' are all 3"),
        ([1e9, 1e9 + 1, 1e9 + 2] * 2, {}, "subtract a constant"),
        (NUMBERS, {"classes": ("a", "b")}, "data.classes names classes, and data.labels=numbers reads numbers"),
        (NUMBERS, {"unlabelled": "none"}, "data.unlabelled must be a number where labels are"),
        (np.array([NUMBERS, NUMBERS]).T, {}, r"must be one number per sample; got an array \[6, 2\]"),
    ],
)
def test_labels_that_are_no_numbers_are_refused_in_one_sentence(labels, settings, sentence):
    with pytest.raises((DataError, ConfigError), match=sentence):
        load(labels, **settings)


def test_names_of_classes_are_no_numbers():
    with pytest.raises(DataError, match=r"one label for each sample|names of classes|must be numbers"):
        load_data((INPUTS, ["b", "a"] * 3), labels="numbers")
