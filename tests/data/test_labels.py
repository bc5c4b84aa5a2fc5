"""Labels are mapped to classes by value, or refused in a sentence that names the readings."""

import numpy as np
import pandas as pd
import pytest
import torch

from instar.config import DataConfig, validate
from instar.data.labels import map_labels
from instar.errors import DataError


def mapped(*splits, **settings):
    config = validate(DataConfig, {"source": "arrays"} | settings)
    labels, classes = map_labels({f"split {number}": split for number, split in enumerate(splits)}, config)
    assert all(found.dtype == np.int64 for found in labels.values())
    return *(found.tolist() for found in labels.values()), classes


NUMBERS = np.array([0, 2, 1, 2])
VALUES = {
    "int64": NUMBERS,
    "uint8": NUMBERS.astype(np.uint8),
    "big-endian": NUMBERS.astype(">i4"),
    "reversed": NUMBERS[::-1].copy()[::-1],
    "whole floats": NUMBERS.astype(np.float16),
    "objects": NUMBERS.astype(object),
    "list": NUMBERS.tolist(),
    "list of NumPy's": list(NUMBERS),
    "tensor": torch.tensor(NUMBERS),
    "bfloat16": torch.tensor(NUMBERS).bfloat16().requires_grad_(),
    "list of tensors": list(torch.tensor(NUMBERS)),
    "series": pd.Series(NUMBERS, index=[9, 8, 7, 6]),
    "nullable": pd.Series(NUMBERS, dtype="Int64"),
    "categorical": pd.Categorical(NUMBERS),
    "masked": np.ma.MaskedArray(NUMBERS),
}


@pytest.mark.parametrize("kind", VALUES)
def test_whole_numbers_from_0_keep_their_numbers_whatever_holds_them(kind):
    assert mapped(VALUES[kind]) == ([0, 2, 1, 2], ("0", "1", "2"))


@pytest.mark.parametrize(
    ("given", "expected", "classes"),
    [
        ([-1, 1, -1], [0, 1, 0], ("-1", "1")),
        ([3, 1, 2], [2, 0, 1], ("1", "2", "3")),
        ([5000, 0, 5000], [1, 0, 1], ("0", "5000")),
        ([10, 9, 2], [2, 1, 0], ("2", "9", "10")),
        ([-2, -1, 0, 1], [0, 1, 2, 3], ("-2", "-1", "0", "1")),
        ([2**62, -5], [1, 0], ("-5", str(2**62))),
        ([True, False], [1, 0], ("False", "True")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog")),
        (np.array(["dog", "cat"]), [1, 0], ("cat", "dog")),
        (np.array([b"dog", b"cat"]), [1, 0], ("cat", "dog")),
        (pd.Series(["dog", "cat"], dtype="category"), [1, 0], ("cat", "dog")),
        (pd.Series(["dog", "cat"], dtype="string"), [1, 0], ("cat", "dog")),
        ([["a", "b"], ["b", "b"]], [[0, 1], [1, 1]], ("a", "b")),
    ],
)
def test_classes_are_the_values_that_are_there_sorted_and_named_by_them(given, expected, classes):
    assert mapped(given) == (expected, classes)


@pytest.mark.parametrize(
    "given",
    [
        [0, None, 1],
        [0.0, float("nan"), 1.0],
        np.array([0, np.nan, 1]),
        torch.tensor([0, torch.nan, 1]),
        [torch.tensor(0), torch.tensor(torch.nan), torch.tensor(1)],
        pd.Series([0, None, 1]),
        pd.Series([0, pd.NA, 1], dtype="Int64"),
        pd.Categorical([0, None, 1]),
        np.ma.MaskedArray([0, 7, 1], [False, True, False]),
    ],
)
def test_missing_values_are_no_label(given):
    assert mapped(given) == ([0, -1, 1], ("0", "1"))


def test_a_value_may_be_named_that_means_no_label():
    assert mapped([0, -1, 1, 2], unlabelled=-1) == ([0, -1, 1, 2], ("0", "1", "2"))
    assert mapped(torch.tensor([[5, -100], [7, 9]]), unlabelled=-100) == ([[0, -1], [1, 2]], ("5", "7", "9"))
    assert mapped(["a", "?", "b"], unlabelled="?") == ([0, -1, 1], ("a", "b"))
    assert mapped([1, 1], [0, 1], unlabelled=1) == ([-1, -1], [0, -1], ("0",))


def test_names_may_be_given_to_numbers():
    assert mapped([1, 0, None], [1], classes=["cat", "dog"]) == ([1, 0, -1], [1], ("cat", "dog"))
    assert mapped([1, 2], classes=["2", "1"]) == ([1, 0], ("2", "1"))  # numbers are names already
    for given in ([1, 2], [-1, 0]):
        with pytest.raises(DataError, match=r"label '(2|-1)' .* is not in data\.classes"):
            mapped(given, classes=["cat", "dog"])


def test_equal_values_are_one_class_in_all_splits():
    assert mapped([0, 3], [3.0, 1.0]) == ([0, 2], [2, 1], ("0", "1", "3"))
    assert mapped([None, None], ["b", "a"]) == ([-1, -1], [1, 0], ("a", "b"))
    with pytest.raises(
        DataError, match=r"the same type in all splits; those of 'split \d' are w.* and those of 'split \d'"
    ):
        mapped(["0", "1"], [0, 1])


def test_classes_that_are_named_are_all_there_are_in_their_order():
    assert mapped([7, 3], classes=["7", "5", "3"]) == ([0, 2], ("7", "5", "3"))
    assert mapped(["b"], classes=["b", "a"]) == ([0], ("b", "a"))
    with pytest.raises(
        DataError, match=r"label '4' \(sample 1 of 'split 0'\) is not in data\.classes; known are: 3, 7"
    ):
        mapped([7, 4], classes=["7", "3"])


SPARSE = np.random.default_rng(0).permutation(300)[:40].repeat(5)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["a", " ", "b"], r"the label ' ' \(sample 1 of 'split 0'\) may be a class or mark a missing label"),
        (
            ["yes", "no", "yes "],
            r"the labels 'yes' and 'yes ' differ only in spaces, so they may be one class or two\.",
        ),
        (
            ["caf\u00e9", "cafe\u0301"],
            r"'cafe\\u0301' and 'caf\\xe9' differ only in invisible characters, or in how acc",
        ),
        (["a", "a\u200b"], r"the labels 'a' and 'a\\u200b' differ only in invisible characters"),
        (
            [0, 1, -1],
            r"the label -1 \(sample 2 of 'split 0'\) may be a class or mark a missing label\. Set data\.unlabelled=-1",
        ),
        ([[0, 1], [-100, 2]], r"the label -100 \(sample 1, position 0 of .* data\.unlabelled=-100"),
        (np.array(["a", "nan"]), r"the label 'nan' \(sample 1 of .* data\.unlabelled='nan' .* data\.labels=classes"),
        (["a", ""], r"the label '' \(sample 1 of"),
        (SPARSE, r"200 labels are 40 different whole numbers from \d+ to \d+\. They may be classes, or quantities"),
        (SPARSE * 1.0, "data.labels=classes if they are classes"),
        (SPARSE[::5][:15], "15 labels are 15 different whole numbers"),
        (np.arange(100), r"100 different whole numbers from 0 to 99\. They may be classes, or an index of the samples"),
        (np.arange(50) % 30 + 1, "30 different whole numbers from 1 to 30"),
        (
            [f"file {number}" for number in range(30)],
            "30 different words. They may be classes, or texts or sample names",
        ),
    ],
)
def test_labels_with_several_readings_are_refused_unless_a_setting_chooses(given, told):
    with pytest.raises(DataError, match=told):
        mapped(given)
    assert len(mapped(given, labels="classes")[-1]) == len(np.unique(np.array(given)))


@pytest.mark.parametrize(
    "given", [np.arange(100).repeat(2), np.arange(1, 21), ["a", "nan"], ["None", "b"], [0, -1], [5, -1]]
)
def test_labels_with_one_reading_are_read(given):
    assert -1 not in mapped(given)[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([0, 1.5], r"sample 1 of 'split 0' has the label 1\.5\. Set data.labels=numbers if they"),
        (np.array([0, np.inf]), "sample 1 of 'split 0' has the label inf"),
        (np.array([0, 2**63], dtype=np.uint64), "has the label 9223372036854775808"),
        ([1, "a"], r"sample 1 of 'split 0' has the label 'a' \(str\) beside whole numbers"),
        ([1, True], r"has the label True \(bool\) beside whole numbers"),
        ([None, "a", [1]], r"sample 2 of 'split 0' has the label \[1\] \(list\)"),
        (np.array([1j]), r"has the label 1j \(complex\)"),
        (np.array(["2020-01-01"], dtype="M8[D]"), r"\(date\)"),
        ([[0, 1], [0]], "has the label|the same shape in all samples"),
        (3, "must be an array with one label per sample; those of 'split 0' are 3"),
        ("cat", "must be an array"),
    ],
)
def test_what_names_no_class_is_refused_with_its_place(given, told):
    with pytest.raises(DataError, match=told):
        mapped(given)
