"""The published data sets, where they are at hand: counts, shapes and classes as their authors give them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pyarrow import parquet

from instar.data import Data, load_data

Load = Callable[..., Data]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load all of a data set's test split and the start of its train split, which is quicker to decode."""

    def make(folder: Path, **selection: object) -> Data:
        (test,) = folder.glob("test-*")
        (tmp_path / test.name).symlink_to(test)
        start = parquet.read_table(min(folder.glob("train-*"))).slice(0, 500)
        parquet.write_table(start, tmp_path / "train-00000-of-00001.parquet")
        return load_data(tmp_path, validation=0, **selection)

    return make


def rows_of_train(folder: Path) -> int:
    return sum(parquet.read_metadata(path).num_rows for path in folder.glob("train-*"))


def test_mnist(mnist_folder: Path, load: Load) -> None:
    data = load(mnist_folder)
    assert (rows_of_train(mnist_folder), len(data.test), data.test.input_shape) == (60_000, 10_000, (1, 28, 28))
    assert data.classes == tuple("0123456789")
    assert data.train.source.inputs.dtype == torch.uint8
    assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = data.test.source.inputs.float() / 255
    assert (pixels.mean(), pixels.std()) == (pytest.approx(0.1325, abs=1e-4), pytest.approx(0.3105, abs=1e-4))


def test_cifar10(cifar10_folder: Path, load: Load) -> None:
    data = load(cifar10_folder)
    assert (rows_of_train(cifar10_folder), data.test.input_shape) == (50_000, (3, 32, 32))
    assert " ".join(data.classes) == "airplane automobile bird cat deer dog frog horse ship truck"
    assert data.test.labels.bincount().tolist() == [1000] * 10
    means = data.test.source.inputs.float().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.494, 0.485, 0.450], abs=1e-3)


def test_cifar100_by_its_fine_labels(cifar100_folder: Path, load: Load) -> None:
    data = load(cifar100_folder, label_column="fine_label")
    assert (rows_of_train(cifar100_folder), data.test.input_shape) == (50_000, (3, 32, 32))
    assert data.test.labels.bincount().tolist() == [100] * 100
    assert (len(data.classes), data.classes[0], data.classes[-1]) == (100, "apple", "worm")


def test_omniglot(omniglot_folder: Path, load: Load) -> None:
    data = load(omniglot_folder)
    assert (rows_of_train(omniglot_folder), len(data.test)) == (3630, 1210)
    assert data.test.input_shape == (1, 105, 105)
    assert data.test.labels.bincount().tolist() == [5] * 242
    assert len({name.split("/")[0] for name in data.classes}) == 8
    assert data.test.source.inputs.unique().tolist() == [0, 255]
    assert (data.test.source.inputs == 0).float().mean() < 0.2  # ink is black on white
