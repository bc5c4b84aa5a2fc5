"""Pictures of every kind are the same samples in every form that people have them in: what Pillow decodes by hand."""

import gc
import io
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

from instar.data import Data, load_data
from instar.errors import DataError

SIDE = 8
KINDS = ["dog", "cat", "cat", "dog", "dog", "cat", "dog", "cat", "cat", "dog"]
NAMES = [
    "rgb.png",
    "grey.png",
    "rgb.jpg",
    "clear.png",
    "ink.jpg",
    "deep.png",
    "turned.jpg",
    "bit.png",
    "few.gif",
    "a.bmp",
]


def write_pictures(folder: Path) -> None:
    """Write ten pictures of different kinds and sizes."""
    random = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        size = (9 + number, 17 - number)
        pixels = random.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
        image, options = Image.fromarray(pixels[..., :3]), {}
        if name == "grey.png":
            image = image.convert("L")
        elif name == "bit.png":
            image = image.convert("1")
        elif name == "clear.png":
            image = Image.fromarray(pixels, "RGBA")
        elif name == "ink.jpg":
            image = image.convert("CMYK")
        elif name == "deep.png":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + pixels[..., 1])
        elif name == "few.gif":
            image = image.convert("P")
        elif name == "turned.jpg":
            exif = Image.Exif()
            exif[0x0112] = 6
            options["exif"] = exif
        image.save(folder / name, **options)


def decode(path: Path) -> np.ndarray:
    """Decode a picture by hand: upright, on white, RGB, shorter side and centre; `[channels, height, width]`."""
    with Image.open(path) as opened:
        opened.load()
        image = opened
    if path.name == "turned.jpg":
        image = image.transpose(Image.Transpose.ROTATE_270)
    if path.name == "clear.png":
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    if path.name != "deep.png":  # 16 bits are resized before their lower ones are cut off
        image = image.convert("L" if path.name in ("grey.png", "bit.png") else "RGB")
    wide, tall = (SIDE * side // min(image.size) for side in image.size)
    left, top = (wide - SIDE) // 2, (tall - SIDE) // 2
    image = image.resize((wide, tall), Image.Resampling.BILINEAR).crop((left, top, left + SIDE, top + SIDE))
    if path.name == "deep.png":
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def rows() -> list[dict[str, Any]]:
    return [{"file": name, "kind": kind} for name, kind in zip(NAMES, KINDS, strict=True)]


def as_bytes(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in NAMES]


class Photos(Dataset):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return len(NAMES)

    def __getitem__(self, index: int) -> tuple[Image.Image, str]:
        return Image.open(io.BytesIO((self.folder / NAMES[index]).read_bytes())), KINDS[index]


def class_folders(folder: Path) -> Path:
    for name, kind in zip(NAMES, KINDS, strict=True):
        (folder / kind).mkdir(exist_ok=True)
        (folder / name).rename(folder / kind / name)
    return folder


def metadata(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        found = pd.DataFrame({"file_name": NAMES, "kind": KINDS})
        if name.endswith("csv"):
            found.to_csv(folder / name, index=False)
        else:
            found.to_json(folder / name, orient="records", lines=True)
        return folder

    return write


def table(name: str, columns: Callable[[Path], dict[str, Any]]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        found, path = pd.DataFrame(columns(folder)), folder / name
        if name.endswith("csv"):
            found.to_csv(path, index=False)
        elif name.endswith("jsonl"):
            path.write_text("".join(json.dumps(row) + "\n" for row in found.to_dict("records")))
        else:
            found.to_parquet(path)
        return path

    return write


def paths(folder: Path) -> dict[str, Any]:
    return {"file": NAMES, "kind": KINDS}


def absolute_paths(folder: Path) -> dict[str, Any]:
    return {"file": [str(folder.absolute() / name) for name in NAMES], "kind": KINDS}


FORMS: dict[str, Callable[[Path], Any]] = {
    "class folders": class_folders,
    "metadata.csv": metadata("metadata.csv"),
    "metadata.jsonl": metadata("metadata.jsonl"),
    "csv": table("photos.csv", paths),
    "csv with absolute paths": table("photos.csv", absolute_paths),
    "json lines": table("photos.jsonl", paths),
    "parquet of paths": table("photos.parquet", paths),
    "parquet of bytes": table("photos.parquet", lambda folder: {"file": as_bytes(folder), "kind": KINDS}),
    "parquet of bytes and paths": table(
        "photos.parquet",
        lambda folder: {"file": [{"bytes": one, "path": None} for one in as_bytes(folder)], "kind": KINDS},
    ),
    "data frame": lambda folder: pd.DataFrame(absolute_paths(folder)),
    "data frame with one column of images": lambda folder: pd.DataFrame(absolute_paths(folder)).assign(width=3),
    "lists": lambda folder: ([folder / name for name in NAMES], KINDS),
    "images": lambda folder: ([Photos(folder)[at][0] for at in range(len(NAMES))], KINDS),
    "torch data set": Photos,
    "data set of paths": lambda folder: datasets.Dataset.from_dict(absolute_paths(folder)),
    "data set of images": lambda folder: datasets.Dataset.from_dict(absolute_paths(folder)).cast_column(
        "file", datasets.Image()
    ),
}
FOUND = dict.fromkeys(["class folders", "lists", "images", "torch data set"], ())
COLUMNS: dict[str, tuple[str, ...]] = FOUND | dict.fromkeys(
    ["metadata.csv", "metadata.jsonl", "data frame with one column of images"], ("label_column",)
)


def samples_of(data: Data) -> set[tuple[str, bytes]]:
    parts = (data.train, data.test)
    return {
        (data.classes[label], pixels.numpy().tobytes())
        for part in parts
        for label, pixels in zip(part.labels.tolist(), part.inputs(), strict=True)
    }


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the library leaves a metadata.csv open
@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_what_pillow_decodes(form: str, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    expected = {(kind, decode(tmp_path / name).tobytes()) for name, kind in zip(NAMES, KINDS, strict=True)}
    given = FORMS[form](tmp_path)
    names = {"input_column": "file", "label_column": "kind"}
    columns = {role: names[role] for role in COLUMNS.get(form, names)}
    data = load_data(given, test=0.2, validation=0, image_size=SIDE, **columns)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (8, 2)
    assert samples_of(data) == expected
    gc.collect()  # closes that file here and not in whichever test comes later


class Opened(Dataset):
    """Images that are opened and not yet decoded, one of which is cut off."""

    def __init__(self, content: list[bytes]) -> None:
        self.content = content

    def __len__(self) -> int:
        return len(self.content)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.open(io.BytesIO(self.content[index])), index % 2


@pytest.mark.parametrize("size", [None, 4])
def test_an_opened_image_that_cannot_be_decoded_is_named_or_left_out(size: int | None) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    given = Opened([whole, whole, whole[:80], whole, whole, whole])
    with pytest.raises(DataError, match="row 2, cannot be decoded: "):
        load_data(given, validation=0, test=0.3, image_size=size)
    data = load_data(given, validation=0, test=0.3, image_size=size, on_error="skip")
    assert len(data.train) + len(data.test) == 5
