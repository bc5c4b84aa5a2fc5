"""Data given as Python objects are read in the one way that is possible, or refused in a sentence."""

import enum
from dataclasses import replace

import datasets
import numpy as np
import pandas as pd
import pyarrow
import pytest
import scipy.sparse
import torch
from PIL import Image
from sklearn.datasets import load_diabetes
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from instar import models, train
from instar.data import load_data
from instar.errors import DataError, InstarError

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.standard_normal((40, 6)).astype(np.float32)
LABELS = np.arange(40) % 4
FINGERPRINTS = {
    "numbers": {"train": "43b54fc3f7ca3a394dc391f499711a09", "test": "85ad11ce32e37a88253ba06c18f60ed8"},
    "pixels": dict.fromkeys(("train", "test"), "bdac7537996ee0eb34d19c8ce166ffba"),
}
EXPECTED = load_data((VECTORS, LABELS), validation=0)


def loaded(given, labels=LABELS, **settings):
    return load_data((given, labels), **{"validation": 0} | settings)


def readonly(array):
    array = array.copy()
    array.flags.writeable = False
    return array


SAME = {
    "float64": VECTORS.astype(np.float64),
    "read-only": readonly(VECTORS),
    "reversed": VECTORS[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": VECTORS.astype(">f4"),
    "Fortran order": np.asfortranarray(VECTORS),
    "a stretch": np.repeat(VECTORS, 2, axis=0)[::2],
    "objects": VECTORS.astype(object),
    "array of arrays": pd.Series(list(VECTORS)).to_numpy(),
    "column of lists": pd.Series(VECTORS.tolist()),
    "array of tensors": pd.Series(list(torch.tensor(VECTORS))).to_numpy(),
    "lists": VECTORS.tolist(),
    "list of rows": list(VECTORS),
    "list of tensors": list(torch.tensor(VECTORS)),
    "tensor that wants a gradient": torch.tensor(VECTORS, requires_grad=True),
    "transposed tensor": torch.tensor(VECTORS.T).T,
    "data frame": pd.DataFrame(VECTORS, columns=list("abcdef"), index=range(100, 140)),
    "masked array without a mask": np.ma.MaskedArray(VECTORS),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_numbers_are_the_same_data_whatever_holds_them(kind):
    assert loaded(SAME[kind]).fingerprints() == EXPECTED.fingerprints()


def test_arrays_with_classes_from_0_have_the_fingerprints_that_they_always_had():
    numbers = np.arange(100, dtype=np.float64)[:, None].repeat(4, 1)
    pixels = (np.arange(3 * 5 * 5 * 12) % 256).astype(np.uint8).reshape(12, 3, 5, 5)
    assert load_data((numbers, np.arange(100) % 5)).fingerprints() == FINGERPRINTS["numbers"]
    assert load_data((pixels, np.arange(12) % 3, pixels, np.arange(12) % 3)).fingerprints() == FINGERPRINTS["pixels"]


@pytest.mark.parametrize("make", [np.array, torch.tensor])
@pytest.mark.parametrize("number", [2, 4])
def test_arrays_may_change_after_they_were_given(make, number):
    arrays = [make(array) for array in (VECTORS, LABELS) * (number // 2)]
    data = load_data(arrays, validation=0)
    kept, before = data.train.inputs().clone(), data.fingerprints()
    for array in arrays:
        array[:] = 0
    again = replace(data.train.source, name="again")
    assert torch.equal(data.train.inputs(), kept)
    assert again.fingerprint() == before["train"]


PIXELS = RANDOM.integers(0, 256, (10, 3, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 28), (28, 28)),
        ((1, 28, 28), (1, 28, 28)),
        ((28, 28, 1), (1, 28, 28)),
        ((3, 32, 32), (3, 32, 32)),
        ((32, 32, 3), (3, 32, 32)),
        ((24, 40, 3), (3, 24, 40)),
        ((3, 24, 40), (3, 24, 40)),
        ((16, 8, 8), (16, 8, 8)),
        ((1, 1, 9), (1, 1, 9)),
        ((3, 4, 4), (3, 4, 4)),
    ],
)
def test_images_have_their_channels_first_however_they_came(shape, expected):
    images = RANDOM.integers(0, 256, (10, *shape), dtype=np.uint8)
    for given in (images, images / 255, torch.tensor(images)):
        data = load_data((given, LABELS[:10], given, LABELS[:10]), validation=0)
        assert data.train.input_shape == expected
        moved = np.asarray(given) if shape == expected else np.moveaxis(np.asarray(given), -1, 1)
        assert np.array_equal(data.train.inputs(), moved.astype(data.train.inputs().numpy().dtype))


@pytest.mark.parametrize("shape", [(3, 8, 3), (4, 4, 4), (64, 64, 10), (9, 128, 1), (1, 8, 1), (64, 8, 4)])
def test_channels_that_may_be_first_or_last_are_asked_for(shape):
    images = RANDOM.standard_normal((10, *shape))
    with pytest.raises(DataError, match=rf"{shape[0]} channels first or with {shape[2]} channels last\. Set"):
        loaded(images, LABELS[:10])
    assert loaded(images, LABELS[:10], layout="CHW").train.input_shape == shape
    assert loaded(images, LABELS[:10], layout="HWC").train.input_shape == (shape[2], shape[0], shape[1])


def test_a_layout_may_be_named_and_must_fit():
    assert loaded(np.zeros((40, 8, 8)), layout="HW").train.input_shape == (1, 8, 8)
    assert torch.equal(
        loaded(PIXELS, LABELS[:10], layout="CHW").train.inputs(), loaded(PIXELS, LABELS[:10]).train.inputs()
    )
    with pytest.raises(DataError, match=r"layout=HWC needs inputs \[samples, H, W, C\], but a sample has shape \[6\]"):
        loaded(VECTORS, layout="HWC")
    with pytest.raises(InstarError, match="'layout' is a setting of arrays, but 'digits' contains images"):
        load_data("digits", layout="HWC")


TOKENS = RANDOM.integers(0, 9, (40, 5))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, np.uint8])
def test_whole_numbers_with_a_label_each_are_tokens(dtype):
    data = loaded(TOKENS.astype(dtype), TOKENS[:, ::-1])
    assert data.train.source.inputs.dtype == torch.int64
    assert data.train.source.positions == 5


def test_whole_numbers_that_may_be_tokens_are_asked_for():
    with pytest.raises(DataError, match=r"inputs \[samples, 5\] of whole numbers may be numbers or tokens\. Set"):
        loaded(TOKENS)
    assert loaded(TOKENS, inputs="tokens").train.source.inputs.dtype == torch.int64
    assert loaded(TOKENS, inputs="numbers").train.source.inputs.dtype == torch.float32
    assert loaded(TOKENS, inputs="pixels").train.source.inputs.dtype == torch.uint8
    for one_reading in (TOKENS - 4, TOKENS.astype(bool), pd.DataFrame(TOKENS), TOKENS.astype(np.float32)):
        assert loaded(one_reading).train.source.inputs.dtype == torch.float32


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (VECTORS * 1j, "inputs must be numbers, but those of 'arrays' are complex numbers"),
        (np.full((40, 2), "a"), "are words"),
        (np.zeros((40, 2), "M8[D]"), "are dates"),
        (np.array([[1.0, "a"]] * 40, dtype=object), r"sample 0 of 'arrays' contains 'a' \(str\)"),
        (np.array([[1.0, None]] * 40, dtype=object), "sample 0 of 'arrays' has NaN or infinity"),
        (np.array(3.0), r"those of 'arrays' have shape \[\]"),
        (VECTORS[:, 0], r"have shape \[40\]\. Give inputs\[:, None\]"),
        (VECTORS[:, :0], "each sample is empty"),
        (VECTORS[:0], "'arrays' has 0 inputs but 40 labels|has no samples"),
        (VECTORS[:39], "'arrays' has 39 inputs but 40 labels"),
        (np.where(np.arange(40)[:, None] == 17, np.nan, VECTORS), "sample 17 of 'arrays' has NaN or infinity"),
        (np.where(np.arange(40)[:, None] == 3, np.inf, VECTORS), "sample 3 of 'arrays' has NaN or infinity"),
        (VECTORS.astype(float) * 1e300, "sample 0 of 'arrays' has a number too large for float32"),
        (scipy.sparse.csr_matrix(VECTORS), r"are a sparse matrix; convert them with inputs\.toarray\(\)"),
        (torch.tensor(VECTORS).to_sparse(), "tensors of 'arrays' must be dense"),
        (np.ma.MaskedArray(VECTORS, VECTORS > 0), r"contain masked values; fill them"),
        (
            pd.DataFrame({"age": [1.0] * 40, "tags": [["x"]] * 40}),
            "column 'tags' of 'arrays' holds values of type list",
        ),
        (pd.DataFrame({"age": [1.0] * 39 + [np.inf]}), "sample 39 of 'arrays' has NaN or infinity"),
        ([[1.0, 2.0], [1.0]] * 20, "must be numbers of the same shape in all samples"),
        (TensorDataset(torch.zeros(3, 2)), "inputs must be an array; got TensorDataset"),
        (None, "inputs must be an array; got NoneType"),
    ],
)
def test_inputs_that_cannot_be_learnt_from_are_refused_with_their_place(inputs, told):
    with pytest.raises(DataError, match=told):
        loaded(inputs)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            (VECTORS, LABELS, VECTORS[:, :5], LABELS),
            r"the same shape in all splits; a sample of 'train arrays' .* \[6\], .* \[5\]",
        ),
        ((PIXELS, LABELS[:10], PIXELS / 255, LABELS[:10]), "uint8 in 'train arrays' and float64 in 'test arrays'"),
        ((VECTORS, VECTORS, LABELS, LABELS), "the order of scikit-learn's train_test_split"),
        ((VECTORS, LABELS, VECTORS, LABELS.astype(str)), "the same type in all splits"),
        ((TOKENS, TOKENS, TOKENS, LABELS), r"labels must have the same shape in all splits, got \[40, 5\]"),
        (
            (pd.DataFrame(VECTORS), LABELS, pd.DataFrame(VECTORS)[[1, 0, 2, 3, 4, 5]], LABELS),
            "'1' where 'train",
        ),
    ],
)
def test_train_and_test_that_do_not_fit_are_refused(given, told):
    with pytest.raises(DataError, match=told):
        load_data(given)


def test_quantities_are_not_taken_for_classes():
    inputs, quantities = load_diabetes(return_X_y=True)
    with pytest.raises(DataError, match=r"442 labels are 214 different whole numbers from 25 to 346\. They may be"):
        load_data((inputs, quantities))


def test_labels_by_value_train_and_are_named(tmp_path):
    data = loaded(VECTORS, np.where(LABELS > 1, 1, -1), validation=0.2)
    assert data.classes == ("-1", "1")
    run = train(data, models.MLP([4]), out=tmp_path / "run", epochs=1)
    assert list(run.metrics["class_errors"]) == ["-1", "1"]


class Items(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(3), 0


def test_a_torch_data_set_is_what_its_items_are():
    rows = TensorDataset(torch.tensor(VECTORS), torch.tensor(LABELS))
    assert load_data(rows, validation=0).fingerprints() == EXPECTED.fingerprints()
    items = Items([(row, int(label)) for row, label in zip(VECTORS, LABELS, strict=True)])
    assert load_data(items, validation=0).fingerprints() == EXPECTED.fingerprints()
    expected = load_data((VECTORS[:30], LABELS[:30], VECTORS[30:], LABELS[30:])).fingerprints()
    parts = Subset(rows, range(30)), Subset(rows, range(30, 40))
    for given in (parts, dict(zip(("train", "test"), parts, strict=True))):
        assert load_data(given).fingerprints() == expected
    for given in (
        ((VECTORS[:30], LABELS[:30]), (VECTORS[30:], LABELS[30:])),
        {"train": (VECTORS[:30], LABELS[:30]), "test": (VECTORS[30:], LABELS[30:])},
    ):
        assert load_data(given).fingerprints() == expected


def test_a_split_of_its_own_may_be_the_validation():
    parts = {"train": (VECTORS[:20], LABELS[:20]), "validation": (VECTORS[20:30], LABELS[20:30])}
    data = load_data({**parts, "test": (VECTORS[30:], LABELS[30:])})
    assert [len(data.train), len(data.validation), len(data.test)] == [20, 10, 10]


ROWS = datasets.Dataset.from_dict({"x": VECTORS.tolist(), "y": ["cat", "dog"] * 20})
STREAM = datasets.IterableDataset.from_generator(lambda: iter([{"x": [0.0], "y": 1}]))


def test_data_sets_of_the_library_are_read_as_from_files(tmp_path, monkeypatch):
    monkeypatch.setenv("INSTAR_CACHE", str(tmp_path))
    columns = {"input_column": "x", "label_column": "y", "validation": 0}
    data = load_data(ROWS, **columns)
    assert (len(data.train), len(data.test), data.classes) == (32, 8, ("cat", "dog"))
    assert "labels of column 'y'" in repr(data)
    parts = {"train": ROWS.select(range(30)), "test": ROWS.select(range(30, 40))}
    for given in (datasets.DatasetDict(parts), parts, tuple(parts.values())):
        data = load_data(given, **columns)
        assert torch.equal(data.train.inputs(), torch.tensor(VECTORS[:30]))
        assert data.test.labels.tolist() == [0, 1] * 5
    other = datasets.Dataset.from_dict({"x": (VECTORS + 1).tolist(), "y": ["cat", "dog"] * 20})
    assert load_data(other, **columns).fingerprints() != load_data(ROWS, **columns).fingerprints()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (STREAM, "a streaming data set cannot be read by index; load it with streaming=False"),
        (datasets.IterableDatasetDict({"train": STREAM}), "a streaming data set"),
        ({"train": STREAM, "test": STREAM}, "a streaming data set"),
        (datasets.DatasetDict({"dev": ROWS}), "the data set needs a split 'train', found: dev"),
        (Endless(), "a data set without a length cannot be read by index"),
        (Items([]), "has no samples"),
        (Items([{"x": 1}]), r"item 0 of the data set for 'train' must be \(input, label\); got \{'x': 1\}"),
        (Items([(torch.zeros(2), 0), (torch.zeros(3), 1)]), r"item 1 of 'train' has \[3\], and the first has \[2\]"),
        (DataLoader(TensorDataset(torch.zeros(3, 2))), "data must be a name, a folder, or .* got one DataLoader"),
        (VECTORS, "got one ndarray"),
        (pd.DataFrame(VECTORS), "got one DataFrame"),
        (3, "got one int"),
        (None, "got one NoneType"),
        ({"x": VECTORS, "y": LABELS}, "data by split need 'train' and 'test', found: 'x', 'y'"),
        (iter([1, 2]), "got one list_iterator"),
        (EXPECTED, r"already loaded; select other samples with data\.select"),
    ],
)
def test_what_is_no_data_is_refused_with_the_forms_that_are(given, told):
    with pytest.raises(DataError, match=told):
        load_data(given)


def test_an_item_that_cannot_be_read_is_named():
    class Broken(Items):
        def __getitem__(self, index):
            raise OSError("no such file")

    with pytest.raises(DataError, match="item 0 of the data set for 'train' cannot be read: OSError: no such file"):
        load_data(Broken([1]))


UNLABELLED = [(VECTORS,), (VECTORS, None), Items(list(torch.tensor(VECTORS))), Items([(row,) for row in VECTORS])]


@pytest.mark.parametrize("given", UNLABELLED)
def test_without_any_label_the_classes_must_be_named(given):
    with pytest.raises(DataError, match="no sample has a label, so the classes are unknown"):
        load_data(given)
    data = load_data(given, classes=["a", "b"], validation=0)
    assert data.classes == ("a", "b")
    assert (data.train.labels == -1).all()


def test_a_transfer_set_needs_no_labels_where_the_test_set_has_some():
    data = load_data((VECTORS, None, VECTORS, LABELS), validation=0)
    assert (data.train.labels == -1).all()
    assert data.classes == EXPECTED.classes


def test_how_data_were_read_is_one_line_on_stderr_at_the_start_of_a_run(tmp_path, capsys):
    images = RANDOM.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    data = load_data((images, np.where(LABELS == 3, 2, LABELS), images[:4], LABELS[:4]))
    train(data, models.MLP([4]), out=tmp_path / "run", epochs=1)
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("instar: data"))
    assert "36 train, 4 validation and 4 test samples; 4 classes (0, 1, 2, 3); inputs [3, 8, 8] uint8" in line
    assert "axes read as height, width, channels" in line
    assert "no training sample has class 3" in line


def test_data_are_shown_in_few_words():
    many = loaded(VECTORS, [f"{number} {'x' * 900}" for number in LABELS])
    assert all(len(repr(data)) < 400 for data in (EXPECTED, many, load_data("digits")))


class LabelledItems(Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index], int(LABELS[index])


def picture(mode):
    grey = Image.fromarray(RANDOM.integers(0, 256, (5, 4), dtype=np.uint8))
    if mode != "P":
        return grey.convert(mode)
    grey.putpalette([level for entry in range(256) for level in (255 - entry, entry, 7)])
    return grey


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
@pytest.mark.parametrize("given", [lambda images: (images, LABELS), LabelledItems])
def test_images_of_pillow_are_their_pixels_and_not_how_they_are_kept(mode, given):
    images = [picture(mode) for _ in LABELS]
    found = load_data(given(images), validation=0).train
    seen = [image.convert("L" if mode in ("L", "1") else "RGB") for image in images]
    expected = np.stack([np.asarray(image).reshape(5, 4, -1).transpose(2, 0, 1) for image in seen])
    assert torch.equal(found.inputs(), loaded(expected).train.inputs())


@pytest.mark.parametrize("given", [lambda rows: (rows, LABELS), LabelledItems])
def test_pixels_beside_other_numbers_are_refused(given):
    rows = [(255 * row).astype(np.uint8) if number == 3 else row for number, row in enumerate(np.abs(VECTORS))]
    with pytest.raises(DataError, match=r"item 3 of 'train|item 3 of 'arrays' holds uint8, and the first float32"):
        load_data(given(rows), validation=0)


def test_a_data_set_may_write_every_item_into_the_same_memory():
    class Reused(Dataset):
        inputs, label = torch.zeros(6), torch.zeros((), dtype=torch.long)

        def __len__(self):
            return len(VECTORS)

        def __getitem__(self, index):
            self.label.fill_(int(LABELS[index]))
            return self.inputs.copy_(torch.tensor(VECTORS[index])), self.label

    assert load_data(Reused(), validation=0).fingerprints() == EXPECTED.fingerprints()


TABLE = pd.DataFrame(VECTORS, columns=list("abcdef"))


class FrameOfArrow:
    """What the frames of polars and other libraries on top of Arrow have in common."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.table.to_pandas(), dtype=dtype)

    def to_pandas(self):
        return self.table.to_pandas()


def test_labels_in_another_order_than_the_inputs_are_refused():
    labels = pd.Series(LABELS)
    for other in (labels[::-1], labels[::-1].to_frame()):
        with pytest.raises(DataError, match=r"'train' have the same index in another order\. Give labels\.loc\[inputs"):
            loaded(TABLE, other)
    reversed_table = TABLE[::-1]
    by_index = loaded(reversed_table, labels.loc[reversed_table.index])
    assert by_index.fingerprints() == loaded(VECTORS[::-1].copy(), LABELS[::-1].copy()).fingerprints()
    for index in (range(40, 80), LABELS):  # without doubt matched by place
        assert loaded(TABLE, pd.Series(LABELS, index)).fingerprints() == EXPECTED.fingerprints()


@pytest.mark.parametrize("library", [lambda table: table, FrameOfArrow], ids=["PyArrow", "another"])
def test_frames_of_other_libraries_are_tables(library):
    def frame(table):
        return library(pyarrow.Table.from_pandas(table, preserve_index=False))

    data = loaded(frame(TABLE), pyarrow.chunked_array([["no", "yes", None, "yes"] * 10]))
    expected = loaded(TABLE, ["no", "yes", None, "yes"] * 10)
    assert data.fingerprints() == expected.fingerprints()
    assert data.train.source.feature_names == tuple("abcdef")
    counts = pd.DataFrame({"rooms": LABELS, "floors": LABELS[::-1]})
    assert "(numbers)" in loaded(frame(counts)).describe()  # and neither tokens nor, as uint8, pixels
    assert "(numbers)" in loaded(frame(counts.astype(np.uint8))).describe()
    with pytest.raises(DataError, match="'test arrays' has 'floors' where 'train arrays' has 'rooms'"):
        load_data((frame(counts), LABELS, frame(counts[["floors", "rooms"]]), LABELS))
    mixed = loaded(frame(pd.DataFrame({"age": [1] * 39 + [None], "plan": ["basic", "pro"] * 20})))
    assert "cells of 1 number, 1 word (1 value missing)" in mixed.describe()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(40).astype("timedelta64[s]"), r"column 'z' of 'arrays' holds values of type duration\[s\]"),
        (1j * np.arange(40), "the table 'arrays' cannot be read: .* column z with type complex128"),
        ([{"a": 1}] * 40, "column 'z' of 'arrays' holds values of type struct"),
    ],
)
def test_a_column_of_a_table_that_holds_no_cells_is_refused(values, kind):
    with pytest.raises(DataError, match=kind):
        loaded(TABLE.assign(z=values))
    with pytest.raises(DataError, match="'arrays' has two columns 'a'"):
        loaded(pd.concat([TABLE, pd.DataFrame({"a": values})], axis=1))


def test_words_among_numbers_are_not_parsed():
    with pytest.raises(DataError, match=r"sample 3 of 'arrays' contains '1.5' \(str\)"):
        loaded(np.where(np.arange(40)[:, None] == 3, "1.5", VECTORS.astype(object)))


def test_one_hot_labels_of_any_two_values_are_refused():
    with pytest.raises(DataError, match="one-hot"):
        loaded(np.zeros((40, 4, 2), dtype=np.float32), 2 * np.eye(4, dtype=int)[LABELS] - 1)


def test_items_of_several_inputs_are_refused():
    with pytest.raises(DataError, match=r"each input of 'train' must be one array of numbers; got \(array"):
        load_data(LabelledItems([(row, row[:2]) for row in VECTORS]))


class Kind(str, enum.Enum):  # noqa: UP042 (StrEnum shows itself as its value)
    CAT, DOG = "cat", "dog"


def test_labels_are_told_apart_by_value_however_they_show_themselves():
    words = np.array(["cat", "dog"])[LABELS % 2]
    assert loaded(VECTORS, [Kind(word) for word in words]).fingerprints() == loaded(VECTORS, words).fingerprints()
    for labels in (np.array([b"\xff", b"\xfe"])[LABELS % 2], [[b"\xff", b"\xfe"][label] for label in LABELS % 2]):
        assert loaded(VECTORS, labels).classes == (r"\xfe", r"\xff")


def test_a_class_that_is_named_twice_is_refused():
    with pytest.raises(DataError, match=r"data\.classes names '1' twice"):
        loaded(VECTORS, LABELS % 2, classes=("0", "1", "1"))


def test_a_mask_that_leaves_no_training_sample_is_refused():
    split = load_data((VECTORS, LABELS, VECTORS, LABELS))
    mask = np.isin(np.arange(40), split.validation.ids)
    with pytest.raises(DataError, match="no training sample of 'train arrays' has a loss"):
        load_data((VECTORS, LABELS, VECTORS, LABELS), mask={"train": mask})


@pytest.mark.parametrize("other", [datasets.ClassLabel(names=["b", "a"]), datasets.Value("string")])
def test_splits_whose_labels_name_other_classes_are_refused(other):
    def rows(feature):
        words = ["a", "b"] * 5
        labels = [feature.names.index(word) for word in words] if hasattr(feature, "names") else words
        features = datasets.Features({"image": datasets.Image(), "label": feature})
        return datasets.Dataset.from_dict({"image": [picture("L")] * 10, "label": labels}, features=features)

    given = {"train": rows(datasets.ClassLabel(names=["a", "b"])), "test": rows(other)}
    with pytest.raises(DataError, match=r"label column 'label' of 'arrays' has the classes a, b in train and"):
        load_data(given)
