"""New inputs are read as the run read its own, so that a file has the probabilities that it has in the test split."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import instar
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import CNN, MLP
from instar.procedures.predict import predict, predict_proba
from instar.runs.files import read_tensors


def write_pictures(folder: Path, mode: str = "RGB", size: tuple[int, int] = (12, 12), each: int = 6) -> Path:
    """Write pictures of two classes, which differ in their brightness, for training and testing."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, light in (("dark", 40), ("light", 200)):
            (folder / split / name).mkdir(parents=True)
            for number in range(each):
                pixels = (light + random.integers(-40, 40, (*size, 3))).astype(np.uint8)
                Image.fromarray(pixels).convert(mode).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("colour") / "data")


@pytest.fixture(scope="module")
def run(pictures: Path) -> instar.Run:
    settings = {"epochs": 6, "learning_rate": 0.02, "batch_size": 4}
    return instar.train(str(pictures), CNN([4], 8), out=pictures.parent / "run", show=False, **settings)


def by_hand(run: instar.Run, pixels: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return instar.load(run)(pixels).softmax(-1).numpy()


def test_files_have_the_probabilities_of_the_test_split(run: instar.Run, pictures: Path) -> None:
    data = instar.load_data(str(pictures)).test
    files = sorted((pictures / "test").rglob("*.png"))
    found = predict_proba(run, files)
    np.testing.assert_allclose(found, by_hand(run, data.inputs()), atol=1e-6)
    first = predict(run, files)
    assert [one.name for one in first] == list(map(str, files))
    assert [one.label for one in first] == [file.parent.name for file in files]
    assert [one.probability for one in first] == found.max(1).tolist()


def test_images_of_several_sizes_are_resized_as_in_training(tmp_path: Path) -> None:
    random, images, files = np.random.default_rng(3), [], []
    for number in range(8):
        pixels = random.integers(0, 256, (12 + number, 20 + 3 * number, 3), dtype=np.uint8)
        images.append(Image.fromarray(pixels))
        files.append(tmp_path / f"{number}.png")
        images[-1].save(files[-1])
    labels = ["a", "b"] * 4
    data = instar.load_data((images, labels, images, labels))
    run = instar.train(data, MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    np.testing.assert_allclose(predict_proba(run, files), by_hand(run, data.test.inputs()), atol=1e-6)
    exported = instar.export(run, "safetensors", data=data)
    inputs = read_tensors(Path(exported.path))[1]["inputs"]
    step = {"size": [12, 12], "resize": "crop", "shorter": None, "resample": "bilinear", "odd_margin": "down"}
    assert (inputs["channels"], inputs["resizing"]) == ("RGB", [step])


def test_files_images_and_arrays_are_the_same_inputs(run: instar.Run, pictures: Path) -> None:
    files = sorted((pictures / "test").rglob("*.png"))[:3]
    expected = predict_proba(run, files)
    images = [Image.open(file) for file in files]
    np.testing.assert_array_equal(predict_proba(run, images), expected)
    np.testing.assert_array_equal(predict_proba(run, images[0]), expected[:1])
    last = np.stack([np.asarray(image) for image in images])
    np.testing.assert_array_equal(predict_proba(run, last.transpose(0, 3, 1, 2)), expected)
    np.testing.assert_array_equal(predict_proba(run, last), expected)
    assert [one.name for one in predict(run, images)] == ["0", "1", "2"]


def test_images_of_any_mode_size_and_orientation_are_read(run: instar.Run, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    wide = Image.fromarray(random.integers(0, 256, (24, 36, 3), dtype=np.uint8))
    wide.save(tmp_path / "wide.png")
    pixels = np.asarray(wide.resize((12, 12), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    expected = by_hand(run, torch.from_numpy(pixels.copy())[None])
    np.testing.assert_allclose(predict_proba(run, tmp_path / "wide.png"), expected, atol=1e-6)
    turned = wide.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 270 degrees to show it
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_allclose(predict_proba(run, tmp_path / "turned.png"), expected, atol=1e-6)
    np.testing.assert_allclose(predict_proba(run, Image.open(tmp_path / "turned.png")), expected, atol=1e-6)
    grey = wide.convert("L")
    grey.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(predict_proba(run, tmp_path / "grey.png"), predict_proba(run, grey.convert("RGB")))


def test_a_model_of_grey_images_reads_colour_as_grey_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pictures(tmp_path / "data", "L")
    run = instar.train(str(folder), MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    colour = Image.fromarray(np.random.default_rng(2).integers(0, 256, (12, 12, 3), dtype=np.uint8))
    colour.save(tmp_path / "colour.png")
    capsys.readouterr()
    found = predict_proba(run, tmp_path / "colour.png")
    assert "1 colour images are read as grey" in capsys.readouterr().err
    np.testing.assert_array_equal(found, predict_proba(run, colour.convert("L")))


def test_the_reader_of_a_model_follows(pictures: Path, tmp_path: Path) -> None:
    run = instar.train(str(pictures), MLP([4]), out=tmp_path / "run", reader="Pixels(6)", epochs=1, show=False)
    file = next((pictures / "test").rglob("*.png"))
    pixels = torch.from_numpy(np.asarray(Image.open(file)).transpose(2, 0, 1).copy())[None]
    np.testing.assert_allclose(predict_proba(run, file), by_hand(run, pixels), atol=1e-6)


def test_an_ensemble_predicts_too(run: instar.Run, pictures: Path, tmp_path: Path) -> None:
    other = instar.train(str(pictures), CNN([4], 8), out=tmp_path / "other", seed=1, epochs=1, show=False)
    both = instar.ensemble([run, other], out=tmp_path / "both", combine="arithmetic")
    files = sorted((pictures / "test").rglob("*.png"))
    expected = (predict_proba(run, files) + predict_proba(other, files)) / 2
    np.testing.assert_allclose(predict_proba(both, files), expected, atol=1e-6)


def test_arrays_are_read_as_in_training(tmp_path: Path) -> None:
    run = instar.train("digits", MLP([8]), out=tmp_path / "run", epochs=2, show=False)
    test = instar.load_data("digits").test
    np.testing.assert_allclose(predict_proba(run, test.inputs()[:300]), by_hand(run, test.inputs()[:300]), atol=1e-6)
    pixels = (test.inputs()[:2] * 255).to(torch.uint8)
    with pytest.raises(MismatchError, match=r"type float32; found .* type uint8"):
        predict(run, pixels)
    with pytest.raises(MismatchError, match="not pixels of grey or RGB images"):
        predict(run, "a.png")
    with pytest.raises(MismatchError, match=r"shape \[samples, 1, 8, 8\]"):
        predict(run, torch.zeros(2, 1, 7, 8))
    with pytest.raises(ConfigError, match="at least one file"):
        predict(run, [])


def test_pictures_of_other_sizes_than_those_of_a_run_of_one_size_are_told(
    run: instar.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 36, 3), dtype=np.uint8))
    predict_proba(run, [wide, wide.resize((12, 12))])
    assert "1 images of other sizes are squashed to 12 x 12 pixels" in capsys.readouterr().err


def test_a_column_of_paths_is_predicted(run: instar.Run, pictures: Path) -> None:
    files = list(map(str, sorted((pictures / "test").rglob("*.png"))))
    found = predict(run, pd.Series(files, index=range(5, 5 + len(files))))
    assert found == predict(run, np.array(files)) == predict(run, files)
    with pytest.raises(DataError, match=r"1 of 2 images cannot be read: 'None' \(a value is missing\)"):
        predict(run, pd.Series([files[0], None]))


def test_bad_files_are_listed_together(run: instar.Run, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    good = next((pictures / "test").rglob("*.png"))
    with pytest.raises(DataError) as refused:
        predict(run, [tmp_path / "bad.png", good, tmp_path / "gone.png", tmp_path])
    for wanted in ("3 of 4 images", "bad.png' (it is not an image", "no such file", "it is a folder"):
        assert wanted in str(refused.value)


def test_the_command_prints_the_likeliest_classes(instar, run, pictures: Path) -> None:
    files = sorted((pictures / "test").rglob("*.png"))[:2]
    code, out, err = instar("predict", run.path, *files)
    assert (code, err) == (0, "")
    assert [line.split("  ")[0] for line in out.splitlines()] == list(map(str, files))
    code, out, _ = instar("predict", run.path, *files, "--top", 2, "--json")
    first, second = json.loads(out)
    assert (first["name"], second["name"]) == tuple(map(str, files))
    assert [one["label"] for one in first["top"]] == ["dark", "light"]
    assert sum(one["probability"] for one in first["top"]) == pytest.approx(1, abs=1e-6)
    assert (first["label"], first["probability"]) == ("dark", first["top"][0]["probability"])
    code, _, err = instar("predict", run.path, pictures / "gone.png")
    assert (code, err.count("\n")) == (2, 1)
