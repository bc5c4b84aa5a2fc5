"""Whoever feeds an ONNX file by its metadata alone, with Pillow and NumPy, gets what the model predicts."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import instar
from instar.exporting.feeding import explain_feeding
from instar.models import CNN, MLP

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")


def feed(file: Path, inputs: dict) -> np.ndarray:
    """Follow the header, as another program would."""
    image = Image.open(file).convert({"RGB": "RGB", "grey": "L"}[inputs["channels"]])
    for step in inputs["resizing"]:
        height, width = step["size"]
        if step["resize"] == "crop":
            shorter = step["shorter"] or height  # of squares
            wide, tall = (shorter * length // min(image.size) for length in image.size)
            left, top = (wide - width) // 2, (tall - height) // 2
            image = image.resize((wide, tall), Image.Resampling[step["resample"].upper()])
            image = image.crop((left, top, left + width, top + height))
        else:
            assert step["resize"] == "squash"
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return (pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None])[None].astype(inputs["dtype"])


@pytest.fixture(scope="module", params=["RGB", "L"])
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("pictures") / "data"
    for split in ("train", "test"):
        for name in ("a", "b"):
            (folder / split / name).mkdir(parents=True)
            for number in range(5):
                pixels = random.integers(0, 256, (12 + number, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(request.param).save(folder / split / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("reader", ["AsIs()", "Pixels(6)", "Pixels(6, shorter=8, resample='bicubic')"])
def test_the_metadata_are_enough_to_feed_a_file(pictures: Path, tmp_path: Path, reader: str) -> None:
    data = instar.load_data(str(pictures), image_size=10)
    run = instar.train(data, CNN([4], 8), out=tmp_path / "run", reader=reader, epochs=1, show=False)
    path = instar.export(run, "onnx").path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    inputs = json.loads(metadata["instar"])["inputs"]
    assert [step["resize"] for step in inputs["resizing"]] == ["crop"] * (1 if reader == "AsIs()" else 2)
    assert len(inputs["mean"]) == len(inputs["std"]) == (3 if inputs["channels"] == "RGB" else 1)
    assert metadata["inputs"] == explain_feeding(inputs)
    assert "Do not normalise" in metadata["inputs"]
    for file in sorted((pictures / "test").rglob("*.png")):
        (logits,) = session.run(["logits"], {"inputs": feed(file, inputs)})
        found = np.exp(logits[0] - logits[0].max())
        (expected,) = instar.predict_proba(run, file)
        # Pillow and torch may differ by one of 255 where the reader resizes once more
        np.testing.assert_allclose(found / found.sum(), expected, atol=1e-5 if reader == "AsIs()" else 5e-3)


def test_the_card_says_how_to_feed_the_model(pictures: Path, tmp_path: Path) -> None:
    data = instar.load_data(str(pictures), image_size=(10, 12))
    run = instar.train(data, MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    card = (Path(instar.export(run, "hub").path) / "README.md").read_text()
    for wanted in ("resize to 10 x 12, which changes the aspect ratio", "pixels 0 to 255"):
        assert wanted in card


def test_numbers_have_no_resizing(tmp_path: Path) -> None:
    run = instar.train("digits", MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    session = onnxruntime.InferenceSession(instar.export(run, "onnx").path, providers=["CPUExecutionProvider"])
    inputs = json.loads(session.get_modelmeta().custom_metadata_map["instar"])["inputs"]
    assert (inputs["channels"], inputs["resizing"], inputs["dtype"]) == (None, [], "float32")
