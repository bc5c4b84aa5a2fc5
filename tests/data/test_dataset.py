"""Data from names and arrays: splits, selections, and what is refused."""

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from instar.config import DataConfig, validate
from instar.data import UNLABELLED, Data, load_data
from instar.errors import ConfigError, DataError

INPUTS = np.arange(100, dtype=np.float64)[:, None].repeat(4, 1)
LABELS = np.arange(100) % 5


def arrays(**selection: object) -> Data:
    return load_data((INPUTS, LABELS, INPUTS[:20], LABELS[:20]), **selection)


def overlap(data: Data) -> set[int]:
    assert data.validation is not None
    return set(data.train.ids.tolist()) & set(data.validation.ids.tolist())


def test_digits_are_the_same_everywhere() -> None:
    data = load_data("digits")
    assert (len(data.train), len(data.validation or ()), len(data.test)) == (1080, 120, 597)
    assert data.classes == tuple("0123456789")
    assert (data.train.input_shape, data.train.source.inputs.dtype) == ((1, 8, 8), torch.float32)
    assert (data.train.source.inputs.min(), data.train.source.inputs.max()) == (0, 1)
    assert data.fingerprints() == {
        "train": "79bd40cb9e12815db1c111c481d7f8a5",
        "test": "db59a49b77daa58ad749626fc367bee9",
    }


def test_train_and_test_digits_are_all_digits_once() -> None:
    from sklearn.datasets import load_digits

    data = load_data("digits")
    found = torch.cat([data.train.source.inputs, data.test.source.inputs]).flatten(1) * 16
    labels = torch.cat([data.train.source.labels, data.test.source.labels])
    rows = torch.cat([found, labels[:, None]], dim=1).int().tolist()
    pixels, targets = load_digits(return_X_y=True)
    assert sorted(rows) == sorted(np.column_stack([pixels, targets]).astype(int).tolist())


def test_four_arrays_are_train_and_test() -> None:
    data = arrays(validation=0)
    assert torch.equal(data.train.inputs(), torch.from_numpy(INPUTS).float())
    assert data.train.labels.tolist() == LABELS.tolist()
    assert torch.equal(data.test.inputs(), data.train.inputs()[:20])
    assert (data.validation, data.classes) == (None, ("0", "1", "2", "3", "4"))


def test_two_arrays_are_split_into_train_and_test() -> None:
    data = load_data((INPUTS, LABELS), validation=0.25)
    assert data.validation is not None
    parts = [data.train, data.validation, data.test]
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(row for part in parts for row in part.inputs()[:, 0].tolist()) == list(range(100))
    assert all(torch.equal(part.inputs()[:, 0].long() % 5, part.labels) for part in parts)


def test_pixels_stay_pixels_and_tensors_are_arrays_too() -> None:
    data = load_data((torch.arange(40, dtype=torch.uint8).reshape(10, 1, 2, 2), [0, 1] * 5), validation=0)
    assert data.train.source.inputs.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64


def test_classes_are_counted_over_train_and_test() -> None:
    assert load_data((INPUTS, LABELS % 2, INPUTS, LABELS), validation=0).classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("number", [0, 3, 5])
def test_another_number_of_arrays_is_refused(number: int) -> None:
    with pytest.raises(DataError, match=rf"arrays must be \(inputs, labels\), \(train_inputs, .*; got {number} of"):
        load_data([INPUTS] * number)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (
            np.eye(5)[LABELS],
            r"shape \[100, 5\] with a single one in each row, like one-hot labels\. Give class numbers",
        ),
        (LABELS + 0.5, r"sample 0 of 'arrays' has the label 0\.5\. Set data.labels=numbers if they"),
        (LABELS[:0], "the classes are unknown"),
        (
            np.stack([LABELS, LABELS], 1),
            r"one label per sample, or one per position .* shape \[100, 2\], and",
        ),
    ],
)
def test_labels_that_are_no_classes_of_samples_are_refused(labels: np.ndarray, told: str) -> None:
    with pytest.raises(DataError, match=told):
        load_data((INPUTS, labels))


def test_words_and_ragged_rows_are_refused_as_inputs() -> None:
    with pytest.raises(DataError, match="inputs must be numbers, but those of 'arrays' are words"):
        load_data(([["cat"]] * 100, LABELS))
    with pytest.raises(DataError, match="inputs of 'arrays' must be numbers of the same shape in all samples: "):
        load_data(([[1, 2], [3]], [0, 1]))


def test_inputs_and_labels_must_be_as_many() -> None:
    with pytest.raises(DataError, match=r"'arrays' has 100 inputs but 99 labels\."):
        load_data((INPUTS, LABELS[:99]))


def test_arrays_cannot_be_loaded_by_name() -> None:
    with pytest.raises(DataError, match="the run was trained on arrays; pass them again"):
        load_data(arrays().config)


def test_validation_is_split_off_train_and_choices_never_see_training_samples() -> None:
    data = arrays(validation=0.3)
    assert (len(data.train), len(data.validation or ())) == (70, 30)
    assert overlap(data) == set()
    assert len(arrays(validation=0).train) == 100


def test_train_on_all_trains_on_the_validation_samples_too() -> None:
    data, apart = arrays(validation=0.3, train_on_all=True), arrays(validation=0.3)
    assert len(data.train) == 100
    assert data.validation is not None
    assert apart.validation is not None
    assert overlap(data) == set(apart.validation.ids.tolist())


def test_the_split_seed_decides_the_split() -> None:
    ids = [arrays(split_seed=seed).train.ids.tolist() for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


def test_selections_narrow_train_alone_and_keep_its_ids() -> None:
    data = arrays(validation=0.2, omit_classes=["3"], keep_fraction=0.5, drop_labels=0.25)
    whole = arrays(validation=0.2)
    labelled = data.train.labels != UNLABELLED
    assert len(data.train) == 32
    assert int(labelled.sum()) == 24
    assert set(data.train.ids.tolist()) <= set(whole.train.ids.tolist())
    assert torch.equal(data.train.inputs()[:, 0].long(), data.train.ids)
    assert torch.equal(data.train.labels[labelled], data.train.ids[labelled] % 5)
    assert 3 not in data.train.ids % 5
    assert [part.ids.tolist() for part in (data.validation, data.test) if part] == [
        part.ids.tolist() for part in (whole.validation, whole.test) if part
    ]


def test_subset_and_keep_classes_select_by_count_and_name() -> None:
    data = arrays(keep_classes=["1", "2"], subset=7)
    assert len(data.train) == 7
    assert set(data.train.labels.tolist()) == {1, 2}


def test_select_is_the_same_as_loading_with_the_selection() -> None:
    selected, loaded = arrays(subset=50).select(subset=20, omit_classes=["0"]), arrays(subset=20, omit_classes=["0"])
    assert selected.config == loaded.config
    assert selected.train.ids.tolist() == loaded.train.ids.tolist()
    assert selected.fingerprints() == loaded.fingerprints()


def test_select_cannot_change_the_source() -> None:
    with pytest.raises(
        ConfigError, match=r"'image_size' is a setting of the source and cannot be changed; call load_data"
    ):
        arrays().select(image_size=(2, 2))


def test_a_configuration_loads_the_same_data_and_takes_changes() -> None:
    config = validate(DataConfig, {"source": "digits", "subset": 100})
    assert load_data(config).train.ids.tolist() == load_data("digits", subset=100).train.ids.tolist()
    assert len(load_data(config, subset=20).train) == 20


def test_unknown_and_impossible_selections_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'subsett' is not a setting; did you mean 'subset'\?"):
        load_data("digits", subsett=3)
    with pytest.raises(DataError, match=r"'subset' must be at most the 1080 samples of 'digits \(train\)', got 5000\."):
        load_data("digits", subset=5000)
    with pytest.raises(DataError, match=r"class 'three' is not in 'digits \(train\)'; known are: 0, 1, "):
        load_data("digits", omit_classes=["three"])


def test_splits_are_found_by_name() -> None:
    data = arrays(validation=0)
    assert (data.split("train"), data.split("test")) == (data.train, data.test)
    for name in ("validation", "dev"):
        with pytest.raises(DataError, match=rf"split '{name}' does not exist; expected train, validation \(if"):
            data.split(name)


@pytest.fixture
def folder_with_validation(tmp_path: Path) -> Path:
    features = datasets.Features(
        {"x": datasets.List(datasets.Value("float32")), "y": datasets.ClassLabel(num_classes=2)}
    )
    for split, number in (("train", 10), ("validation", 4), ("test", 6)):
        rows = datasets.Dataset.from_dict({"x": [[1.0, i] for i in range(number)], "y": [0] * number}, features)
        rows.to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    return tmp_path


def test_a_validation_split_of_the_source_is_kept(folder_with_validation: Path) -> None:
    data = load_data(folder_with_validation, input_column="x")
    assert data.config.source == str(folder_with_validation)
    assert [len(part or ()) for part in (data.train, data.validation, data.test)] == [10, 4, 6]
    assert len(data.select(subset=5).validation or ()) == 4
    with pytest.raises(ConfigError, match="'train_on_all' needs a validation set split off train"):
        data.select(train_on_all=True)
