"""Paths of images in files of rows, data frames and lists, and images of Pillow, become what Pillow reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch.utils.data import Dataset

from instar.config import DataConfig
from instar.data import Data, load_data
from instar.errors import DataError
from instar.models import MLP
from instar.procedures.evaluate import evaluate
from instar.procedures.train import train

SIZES, MODES, KINDS = [(9, 6), (6, 7), (8, 8), (12, 9)], ["RGB", "L", "P", "RGB"], ["dog", "cat", "cat", "dog"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number, ((width, height), mode) in enumerate(zip(SIZES, MODES, strict=True)):
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path


def rows(count: int = 4) -> list[dict[str, Any]]:
    return [{"file": f"photos/{number}.png", "kind": KINDS[number]} for number in range(count)]


def expected(folder: Path, side: int) -> np.ndarray:
    """The shorter side, then the centre, as Pillow resizes."""
    found = []
    for number in range(4):
        with Image.open(folder / "photos" / f"{number}.png") as opened_file:
            image = opened_file.convert("RGB" if opened_file.mode != "L" else "L")
        wide, tall = (side * length // min(image.size) for length in image.size)
        left, top = (wide - side) // 2, (tall - side) // 2
        image = image.resize((wide, tall), Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))
        found.append(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    return np.stack(found)


def write_rows(path: Path, found: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pd.DataFrame(found).to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    else:
        pd.DataFrame(found).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def check(data: Data, folder: Path, side: int) -> None:
    assert sorted(data.classes) == ["cat", "dog"]
    parts = [data.train, data.test]
    pixels = np.concatenate([part.inputs().numpy() for part in parts])
    names = [data.classes[label] for part in parts for label in part.labels.tolist()]
    wanted = {KINDS[number] + str(image.tolist()) for number, image in enumerate(expected(folder, side))}
    assert {name + str(image.tolist()) for name, image in zip(names, pixels, strict=True)} == wanted


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "labels.jsonl", "labels.parquet"])
@pytest.mark.parametrize("side", [None, 4])
def test_a_file_of_rows_names_images_relative_to_itself(folder: Path, name: str, side: int | None) -> None:
    path = write_rows(folder / name, rows())
    data = load_data(path, label_column="kind", test=0.5, validation=0, image_size=side)
    check(data, folder, side or 6)
    assert load_data(data.config).fingerprints() == data.fingerprints()


def test_files_of_rows_for_each_split_lie_in_a_folder(folder: Path) -> None:
    for split in ("train", "test"):
        write_rows(folder / f"{split}.csv", rows())
    data = load_data(folder, label_column="kind", validation=0)
    assert np.array_equal(data.train.inputs().numpy(), expected(folder, 6))
    assert np.array_equal(data.test.inputs().numpy(), expected(folder, 6))


def test_an_image_that_changed_is_decoded_again(folder: Path) -> None:
    path = write_rows(folder / "labels.csv", rows())

    def load() -> dict[str, str]:
        return load_data(path, label_column="kind", test=0.5, validation=0, image_size=4).fingerprints()

    before = load()
    Image.new("RGB", (20, 20), (1, 2, 3)).save(folder / "photos/2.png")
    assert load() != before


def test_an_image_in_train_and_test_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"label_column": "kind", "validation": 0}
    told = "warning: {} images of '{}' are named in several rows, such as '"
    path = write_rows(folder / "labels.csv", [*rows(), rows()[1]])
    load_data(path, test=0.5, **settings)
    load_data(pd.DataFrame([{**row, "file": str(folder / row["file"])} for row in [*rows(), *rows()]]), **settings)
    err = capsys.readouterr().err
    assert told.format(1, path) in err
    assert told.format(4, "arrays") in err
    path.unlink()
    write_rows(folder / "train.csv", [*rows(2), *rows(2)])  # more weight in one split flatters no test
    write_rows(folder / "test.csv", rows()[2:])
    load_data(folder, **settings)
    assert capsys.readouterr().err == ""
    write_rows(folder / "test.csv", rows()[1:])
    load_data(folder, **settings)
    assert told.format(1, folder) in capsys.readouterr().err


def test_another_spelling_of_a_path_names_the_same_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = rows()
    path = write_rows(folder / "labels.csv", [first, *others, {**first, "file": f"../{folder.name}/{first['file']}"}])
    load_data(path, label_column="kind", validation=0, test=0.5)
    assert "warning: 1 images of" in capsys.readouterr().err


def test_a_path_without_a_file_is_listed(folder: Path) -> None:
    path = write_rows(folder / "labels.csv", [*rows(), {"file": "photos/9.png", "kind": "cat"}])
    with pytest.raises(DataError, match=r"row \d, file '.*photos/9\.png', cannot be decoded: .*data\.on_error=skip"):
        load_data(path, label_column="kind", test=0.5)
    data = load_data(path, label_column="kind", test=0.5, validation=0, on_error="skip")
    assert len(data.train) + len(data.test) == 4


class Photos(Dataset):
    def __init__(self, folder: Path) -> None:
        self.paths = [folder / row["file"] for row in rows()]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, str]:
        with Image.open(self.paths[index]) as image:
            image.load()
            return image, KINDS[index]


def opened(folder: Path) -> list[Image.Image]:
    return [item for item, _ in (Photos(folder)[number] for number in range(4))]


GIVEN: dict[str, Callable[[Path], Any]] = {
    "a data frame of paths": lambda folder: pd.DataFrame(rows()),
    "a data frame of images": lambda folder: pd.DataFrame({"file": opened(folder), "kind": KINDS}),
    "columns of a data frame": lambda folder: (pd.DataFrame(rows())[["file"]], pd.Series(KINDS)),
    "lists": lambda folder: ([folder / row["file"] for row in rows()], KINDS),
    "images": lambda folder: (opened(folder), KINDS),
    "a torch data set": Photos,
    "a data set of paths": lambda folder: datasets.Dataset.from_list(rows()),
}


@pytest.mark.parametrize("side", [None, 4])
@pytest.mark.parametrize("form", GIVEN)
def test_images_given_in_python(folder: Path, form: str, side: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    columns = {"input_column": "file", "label_column": "kind"} if "frame of" in form or "set of" in form else {}
    data = load_data(GIVEN[form](folder), test=0.5, validation=0, image_size=side, **columns)
    check(data, folder, side or 6)
    assert (f"of several sizes, so resized to {6} x {6} (crop)" in data.describe()) == (side is None)
    assert data.config.image_size == (side or 6)


def test_a_table_needs_its_columns(folder: Path) -> None:
    with pytest.raises(DataError, match=r"a table with label_column, .*; got one DataFrame"):
        load_data(pd.DataFrame(rows()))
    with pytest.raises(DataError, match=r"needs label_column, one of its columns \(file, kind\); got 'king'"):
        load_data(pd.DataFrame(rows()), input_column="file", label_column="king")


def test_bad_images_in_python_are_listed_or_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "photos/bad.png").write_bytes(b"no image")
    paths = [folder / "photos/bad.png", *(folder / row["file"] for row in rows()), folder / "photos/none.png"]
    given = (paths, ["cat", *KINDS, "dog"])
    with pytest.raises(DataError, match=r"2 images of 'images' .*bad\.png': it is not an image .*none\.png': there is"):
        load_data(given, test=0.5)
    data = load_data(given, test=0.5, validation=0, on_error="skip")
    check(data, folder, 6)
    assert "without 2 of arrays that cannot be decoded" in data.describe()
    assert (
        "none.png' of arrays is left out, because it cannot be decoded: there is no such file"
        in capsys.readouterr().err
    )


def test_other_images_are_read_at_the_size_of_the_run(folder: Path, tmp_path: Path) -> None:
    paths = [folder / row["file"] for row in rows()]
    run = train(load_data((paths * 5, KINDS * 5), test=0.2), MLP([4]), out=tmp_path / "run", epochs=1, batch_size=4)
    Image.new("RGB", (30, 40)).save(folder / "photos/other.png")
    assert evaluate(run, ([folder / "photos/other.png"] * 20, KINDS * 5))["samples"] == 4
    config = DataConfig(
        source=str(write_rows(folder / "labels.csv", rows())), label_column="kind", test=0.5, validation=0
    )
    assert evaluate(run, config)["samples"] == 2
