"""`verify-data`: all bytes of a decoded copy are those that were written, or the file that differs is named."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import instar
from instar import load_data
from instar.config import DataConfig
from instar.data.hub import load_hub
from instar.errors import ConfigError, DataError


@pytest.fixture
def pictures(tmp_path: Path, empty_cache: Path) -> Path:
    for split in ("train", "test"):
        for at in range(6):
            folder = tmp_path / "pictures" / split / "ab"[at % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("L", (9 + at, 9), 20 * at).save(folder / f"{at}.png")
    return tmp_path / "pictures"


def test_a_flipped_bit_that_a_start_does_not_see_is_found(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"data.image_size": 8}
    with pytest.raises(DataError, match="there is no decoded copy of these data"):
        instar.verify_data(pictures, settings=settings)
    instar.load_data(pictures, image_size=8, validation=0)
    found = instar.verify_data(pictures, settings=settings)
    assert {"train.npy", "train-labels.npy", "test.npy", "test-labels.npy"} <= found.files.keys()
    path = Path(found.folder) / "train.npy"
    assert found.files["train.npy"] == path.stat().st_size
    before, content = path.stat(), np.fromfile(path, dtype=np.uint8)
    content[-1] ^= 1
    content.tofile(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    load_hub(DataConfig(source=str(pictures), image_size=8), max_loaded_bytes=0)  # every file counts as large
    assert capsys.readouterr().err == ""
    with pytest.raises(DataError, match=r"damaged \(train\.npy has another checksum\); delete it, and the next run"):
        instar.verify_data(pictures, settings=settings)


def test_the_command_follows_the_size_that_was_chosen(pictures: Path, instar: Callable[..., Any]) -> None:
    load_data(pictures, validation=0)
    code, out, err = instar("verify-data", pictures)
    assert (code, err) == (0, "")
    assert "files, " in out
    assert out.endswith("bytes: as they were written\n")
    code, _, err = instar("verify-data", pictures, "--set", "data.image_size=5")
    assert code == 2
    assert "there is no decoded copy of these data" in err


def test_what_is_never_decoded_and_other_settings_are_refused(pictures: Path) -> None:
    with pytest.raises(ConfigError, match="'digits' has no decoded copy"):
        instar.verify_data("digits")
    with pytest.raises(ConfigError, match="'seed' is no setting of the data"):
        instar.verify_data(pictures, settings={"seed": 3})
