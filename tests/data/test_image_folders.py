"""Folders of images whose names may mean several things are refused, or stderr says what is not read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instar.data import load_data
from instar.errors import DataError


def write(folder: Path, *names: str) -> Path:
    """Write two pictures into each of these folders."""
    random = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(2):
            pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_folders_of_one_name_are_one_class_only_if_it_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "years", "cat/2020", "dog/2020", "dog/2021")
    with pytest.raises(DataError, match=r"'cat/2020' and 'dog/2020' of '.*' \(train\) have one name"):
        load_data(folder, test=0.5)
    grouped = write(tmp_path / "grouped", "first/cat", "first/dog", "second/cat", "second/dog")
    data = load_data(grouped, test=0.5, validation=0, classes=["dog", "cat"])
    assert (data.classes, len(data.train) + len(data.test)) == (("dog", "cat"), 8)


def test_the_same_class_in_several_splits_is_one(tmp_path: Path) -> None:
    folder = write(tmp_path, "train/cat", "train/dog", "validation/cat", "test/dog")
    data = load_data(folder)
    assert (data.classes, len(data.train), len(data.validation), len(data.test)) == (("cat", "dog"), 4, 2, 2)


def test_a_class_named_like_a_split_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, "train", "car", "plane")
    with pytest.raises(DataError, match="name no classes, because its files are in one folder"):
        load_data(folder, test=0.5)
    assert "4 images of '" in (err := capsys.readouterr().err)
    assert "are not read, such as 'car/0.png'. They belong to no split, because names of other folders" in err


def test_a_file_in_two_splits_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "train/test-tube", "train/flask", "test/flask")
    with pytest.raises(DataError, match=r"'train/test-tube/0.png' of '.*' would be in the splits train and test"):
        load_data(folder)


def test_images_of_formats_that_pillow_lacks_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, "cat", "dog")
    (folder / "cat/2.HEIC").write_bytes(b"")
    (folder / "cat/notes.txt").write_text("no image")
    (folder / "cat/._0.png").write_bytes(b"")
    assert len(load_data(folder, test=0.5, validation=0).train) == 2
    assert "1 images of '" in (err := capsys.readouterr().err)
    assert "such as 'cat/2.HEIC'" in err


def test_a_link_to_a_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path, "photos/cat", "photos/dog", "owl")
    (folder / "photos/owl").symlink_to(folder / "owl", target_is_directory=True)
    assert load_data(folder / "photos", test=0.5, validation=0).classes == ("cat", "dog")
    assert "the folder 'owl' of '" in capsys.readouterr().err
