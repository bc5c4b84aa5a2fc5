"""The cache of decoded data: used when it is whole and of these data, and never otherwise."""

import errno
import os
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from instar.config import DataConfig
from instar.data import decoded, hub
from instar.data.hub import load_hub
from instar.errors import DataError, RunError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "grey", shade=10)
    return tmp_path / "grey"


def write(folder: Path, shade: int) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    images = [Pictures.new("L", (6, 6), shade + step) for step in range(4)]
    rows = datasets.Dataset.from_dict({"image": images, "label": [0, 1, 0, 1]}, features=features)
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def load(folder: Path, image_size: tuple[int, int] | None = None) -> list[int]:
    train, _, _ = load_hub(DataConfig(source=str(folder), image_size=image_size))
    return train.inputs[:, 0, 0, 0].tolist()


def never(*_: object) -> None:
    raise AssertionError("decoded again")


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_the_second_time_nothing_is_decoded(folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_hub(DataConfig(source=str(folder)))[0]
    monkeypatch.setattr(decoded, "_to_array", never)
    second = load_hub(DataConfig(source=str(folder)))[0]
    assert second.fingerprint() == first.fingerprint()
    assert len(entries(empty_cache)) == 1


def test_other_data_in_the_same_folder_are_decoded_again(folder: Path, empty_cache: Path) -> None:
    assert load(folder) == [10, 11, 12, 13]
    write(folder, shade=90)
    assert load(folder) == [90, 91, 92, 93]
    assert len(entries(empty_cache)) == 2


def test_every_option_of_decoding_has_a_copy_of_its_own(folder: Path, empty_cache: Path) -> None:
    load(folder)
    load(folder, image_size=(3, 3))
    assert len(entries(empty_cache)) == 2
    assert load_hub(DataConfig(source=str(folder), image_size=(3, 3)))[0].inputs.shape == (4, 1, 3, 3)
    assert load_hub(DataConfig(source=str(folder)))[0].inputs.shape == (4, 1, 6, 6)


def test_copies_of_images_keep_their_names(folder: Path, empty_cache: Path) -> None:
    load(folder)
    assert entries(empty_cache) == [hub._cache_key(str(folder), hub._open(str(folder)), None, None, None)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken picture")])
def test_a_copy_that_was_interrupted_is_not_taken_for_whole(
    folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    whole, seen = decoded._to_array, []

    def interrupted(*arguments):
        seen.append(1)
        if len(seen) == 6:  # in the middle of the second split
            raise error
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(decoded, "_to_array", interrupted)
        with pytest.raises((KeyboardInterrupt, DataError)):
            load(folder)
    assert entries(empty_cache) == []
    assert load(folder) == [10, 11, 12, 13]


def test_what_a_killed_process_left_is_not_taken_for_whole(folder: Path, empty_cache: Path) -> None:
    load(folder)
    (name,) = entries(empty_cache)
    copy = empty_cache / name
    copy.rename(empty_cache / f".{name}.{os.getpid()}.partial")
    (empty_cache / f".{name}.{os.getpid()}.partial" / "complete.json").unlink()
    assert load(folder) == [10, 11, 12, 13]
    assert entries(empty_cache) == [name]


def test_another_process_may_finish_first(folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = decoded.decode

    def late(*arguments) -> None:
        decode(*arguments)  # the other process
        decode(*arguments)

    monkeypatch.setattr(decoded, "decode", late)
    assert load(folder) == [10, 11, 12, 13]
    assert len(entries(empty_cache)) == 1


def test_a_full_disk_is_a_sentence(folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(RunError, match=r"no space is left on the disk to write '.*'; free some"):
        load(folder)
    assert entries(empty_cache) == []


def test_large_data_are_mapped_and_read_the_same(
    folder: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = load_hub(DataConfig(source=str(folder)))[0]
    monkeypatch.setattr(decoded, "IN_MEMORY", 0)
    mapped = load_hub(DataConfig(source=str(folder)))[0]
    assert torch.equal(mapped.inputs, held.inputs)
    mapped.inputs[0] = 0  # as a careless caller might; the copy on disk must not change
    assert torch.equal(load_hub(DataConfig(source=str(folder)))[0].inputs, held.inputs)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTAR_CACHE", "/elsewhere")
    assert decoded.cache_folder() == Path("/elsewhere")
    monkeypatch.delenv("INSTAR_CACHE")
    monkeypatch.setenv("HOME", "/home/ada")
    assert decoded.cache_folder() == Path("/home/ada/.cache/instar")
