"""A picture whose file has changed is decoded again, in every form of data that names files."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from instar.data import load_data

KINDS = list("abababab")


def write_pictures(folder: Path, value: int) -> list[str]:
    files = [folder / f"{number}.png" for number in range(len(KINDS))]
    for file in files:
        Image.fromarray(np.full((6, 6, 3), value, dtype=np.uint8)).save(file)
    return list(map(str, files))


def as_images(files: list[str]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"file": files, "kind": KINDS}).cast_column("file", datasets.Image())


def as_paths(files: list[str]) -> datasets.Dataset:
    return datasets.Dataset.from_dict({"file": files, "kind": KINDS})


def as_shuffled(files: list[str]) -> datasets.Dataset:
    return as_images(files).shuffle(seed=0)


def as_csv(files: list[str]) -> str:
    table = Path(files[0]).parent / "rows.csv"
    if not table.exists():
        pd.DataFrame({"file": files, "kind": KINDS}).to_csv(table, index=False)
    return str(table)


@pytest.mark.parametrize("make", [as_images, as_paths, as_shuffled, as_csv])
def test_a_changed_picture_is_decoded_again(make: Any, tmp_path: Path) -> None:
    for value in (10, 200):
        given = make(write_pictures(tmp_path, value))
        data = load_data(given, label_column="kind", validation=0, test=0.25)
        assert data.train.source.inputs.unique().tolist() == [value]
    assert load_data(given, label_column="kind", validation=0, test=0.25).train.source.stored is not None
