"""Whoever feeds an ONNX file by its metadata alone, with Pillow and NumPy, gets what `instar predict` finds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.docs.pages import blocks, read

import instar
from instar.exporting.feeding import explain_feeding
from instar.models import CNN, MLP

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")

PROGRAM = next(code for code in blocks(read("docs/export.md"), "python") if "onnxruntime" in code)
ALONE = "\nassert not {'instar', 'torch', 'torchvision'} & sys.modules.keys()\n"


def write_pictures(folder: Path, mode: str) -> Path:
    """Write pictures of two classes and of several sizes."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            (folder / split / name).mkdir(parents=True)
            for number in range(5):
                pixels = random.integers(0, 256, (12 + number, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(folder / split / name / f"{number}.png")
    return folder


def write_odd_pictures(folder: Path) -> list[Path]:
    """Write one picture of each kind that people have, upright, across, large, small and of a size that fits."""
    random = np.random.default_rng(1)
    folder.mkdir()

    def picture(height: int, width: int, mode: str = "RGB") -> Any:
        channels = {"RGBA": 4, "LA": 2}.get(mode, 3)
        return Image.fromarray(random.integers(0, 256, (height, width, channels), dtype=np.uint8)).convert(mode)

    picture(33, 21, "RGBA").save(folder / "transparent.png")
    picture(19, 45, "LA").save(folder / "transparent grey.png")
    picture(9, 14, "L").save(folder / "small grey.png")
    picture(30, 31, "1").save(folder / "one bit.png")
    picture(50, 20, "P").save(folder / "palette.png", transparency=3)
    picture(47, 64, "CMYK").save(folder / "inks.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    picture(18, 40).save(folder / "turned.jpg", exif=exif)
    frames = [picture(25, 26, "P") for _ in range(2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    picture(12, 12).save(folder / "as it is.png")
    picture(201, 300).save(folder / "large.png")
    deep = random.integers(0, 1 << 16, (31, 46), dtype=np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep[:12, :12]).save(folder / "deep as it is.png")
    return sorted(folder.iterdir())


CASES = [
    ("RGB", 12, "crop", "AsIs()"),
    ("L", 12, "letterbox", "AsIs()"),
    ("RGB", (10, 13), "squash", "AsIs()"),
    ("RGB", 12, "letterbox", "Pixels(6)"),
    ("L", (12, 15), "crop", "Pixels(7, shorter=9, resample='bicubic', odd_margin='even')"),
    ("RGB", (12, 15), "squash", "Pixels(8, resize='letterbox')"),
]


@pytest.mark.parametrize(("mode", "size", "resize", "reader"), CASES)
def test_the_program_of_the_page_finds_what_predict_finds(
    tmp_path: Path, mode: str, size: Any, resize: str, reader: str
) -> None:
    data = instar.load_data(str(write_pictures(tmp_path / "data", mode)), image_size=size, resize=resize)
    run = instar.train(data, CNN([4], 8), out=tmp_path / "run", reader=reader, epochs=3, show=False)
    path = instar.export(run, "onnx").path
    files = sorted((tmp_path / "data/test").rglob("*.png")) + write_odd_pictures(tmp_path / "odd")
    (program := tmp_path / "label.py").write_text(PROGRAM + ALONE)
    command = [sys.executable, str(program), path, *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [one.pop("file") for one in found] == list(map(str, files))
    expected = instar.predict_proba(run, files)
    # Pillow and torch differ by one of 255 where the reader resizes once more
    allowed = 1e-5 if reader == "AsIs()" else 5e-3
    np.testing.assert_allclose([list(one.values()) for one in found], expected, atol=allowed)
    decided = abs(expected[:, 0] - 0.5) > allowed
    labels = np.array([max(one, key=one.get) for one in found])
    np.testing.assert_array_equal(labels[decided], np.array([one.label for one in instar.predict(run, files)])[decided])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    inputs = json.loads(metadata["instar"])["inputs"]
    assert inputs["resizing"][0]["resize"] == resize
    assert len(inputs["mean"]) == len(inputs["std"]) == (3 if inputs["channels"] == "RGB" else 1)
    assert metadata["inputs"] == explain_feeding(inputs)
    assert "Do not normalise" in metadata["inputs"]


def test_the_card_says_how_to_feed_the_model(tmp_path: Path) -> None:
    data = instar.load_data(str(write_pictures(tmp_path / "data", "RGB")), image_size=(10, 12))
    run = instar.train(data, MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    card = (Path(instar.export(run, "hub").path) / "README.md").read_text()
    for wanted in (
        "resize to 10 x 12, which changes the aspect ratio",
        "pixels 0 to 255",
        "transparent pixels on white",
    ):
        assert wanted in card


def test_numbers_have_no_resizing(tmp_path: Path) -> None:
    run = instar.train("digits", MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    session = onnxruntime.InferenceSession(instar.export(run, "onnx").path, providers=["CPUExecutionProvider"])
    inputs = json.loads(session.get_modelmeta().custom_metadata_map["instar"])["inputs"]
    assert (inputs["channels"], inputs["resizing"], inputs["dtype"]) == (None, [], "float32")
