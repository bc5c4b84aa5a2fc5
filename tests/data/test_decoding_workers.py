"""Decoding by several threads: the copy that one of them writes, byte by byte, and the same refusals."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instar.config import DataConfig
from instar.data import in_order
from instar.data.hub import load_hub
from instar.errors import DataError

FORMATS = (("L", "png"), ("RGB", "jpg"), ("RGBA", "png"), ("P", "gif"), ("CMYK", "jpg"), ("RGB", "webp"), ("1", "tiff"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of many modes, formats and sizes, of which three cannot be decoded."""
    random = np.random.default_rng(0)
    for split, number in (("train", 50), ("test", 9)):
        for at in range(number):
            mode, suffix = FORMATS[at % len(FORMATS)]
            side = int(random.integers(8, 40))
            folder = tmp_path / "pictures" / split / "ab"[at % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = Image.fromarray(random.integers(0, 256, (side, side + 5, 3), dtype=np.uint8))
            pixels.convert(mode).save(folder / f"{at:02}.{suffix}")
            if split == "train" and at in (3, 21, 48):
                (folder / f"{at:02}.{suffix}").write_bytes(b"no picture")
    return tmp_path / "pictures"


def decode(pictures: Path, workers: int, cache: Path, monkeypatch: pytest.MonkeyPatch, **settings: object) -> dict:
    monkeypatch.setattr(in_order, "count_cores", lambda: workers)
    monkeypatch.setenv("INSTAR_CACHE", str(cache))
    load_hub(DataConfig(source=str(pictures), **settings))
    # without the description, which holds the times of the files
    paths = (path for path in cache.rglob("*") if path.is_file() and path.name != "complete.json")
    return {path.relative_to(cache): path.read_bytes() for path in paths}


@pytest.mark.parametrize("size", [None, 16])
def test_the_copy_is_the_same_for_any_number_of_workers(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    settings = {"on_error": "skip", "image_size": size}
    alone = decode(pictures, 1, tmp_path / "1", monkeypatch, **settings)
    assert any(path.name == "skipped.json" for path in alone)
    assert any(path.name == "train.npy" for path in alone)
    for workers in (2, 5):
        assert decode(pictures, workers, tmp_path / str(workers), monkeypatch, **settings) == alone


def test_pictures_are_refused_alike(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for workers in (1, 4):
        with pytest.raises(DataError, match=r"3 images of .* cannot be decoded") as refused:
            decode(pictures, workers, tmp_path / str(workers), monkeypatch, image_size=8)
        told.append(str(refused.value))
    assert told[0] == told[1]
