"""Verbs that take a run read data as the run did, and say where these are not what they were."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from instar.config import DataConfig
from instar.data import load_data
from instar.errors import InstarError, MismatchError
from instar.models import LSTM, MLP, FrameNet
from instar.procedures.correct_bias import correct_bias
from instar.procedures.distill import distill
from instar.procedures.ensemble import ensemble
from instar.procedures.evaluate import evaluate
from instar.procedures.export import export
from instar.procedures.label import label
from instar.procedures.predict import predict_proba
from instar.procedures.specialists import cluster
from instar.procedures.train import train
from instar.procedures.tune import tune
from instar.runs.files import read_json, write_json

TINY = {"epochs": 1, "batch_size": 8}
NAMES = ("bright", "dark", "grey")
SHADES = {"bright": 220, "dark": 30, "grey": 120}


def write_images(folder: Path, size: int = 8, names: tuple[str, ...] = NAMES, seed: int = 0, mode: str = "RGB") -> Path:
    """Write a folder of images of several sizes, which are `size` or a little less, by split and class."""
    random = np.random.default_rng(seed)
    for split, count in (("train", 6), ("test", 4)):
        for name in names:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                shade = SHADES.get(name, 0) + random.integers(-20, 20, (size - number % 2, size, 3))
                image = Pictures.fromarray(shade.clip(0, 255).astype(np.uint8)).convert(mode)
                image.save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "small")


@pytest.fixture(scope="module")
def run(images: Path):
    data = load_data(images, image_size=(4, 4), validation=0)
    return train(data, MLP([8]), out=images.parent / "run", learning_rate=0.01, epochs=30, batch_size=8)


def test_other_data_are_read_at_the_size_of_the_run(run, tmp_path: Path) -> None:
    larger = write_images(tmp_path / "larger", size=64, seed=1)
    right = evaluate(run, load_data(larger, image_size=(4, 4)))
    for given in (larger, str(larger), DataConfig(source=str(larger))):
        found = evaluate(run.path, given)
        assert (found["nll"], found["errors"], found["samples"]) == (right["nll"], right["errors"], 12)
    with pytest.raises(MismatchError, match=r"takes inputs of shape \[3, 4, 4\], and '.*' has \[3, 5, 5\]; data"):
        evaluate(run, DataConfig(source=str(larger), image_size=(5, 5)))


def test_a_run_whose_images_had_one_size_reads_others_at_it(tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (40, 3, 6, 6), dtype=torch.uint8)
    run = train(load_data((pixels, np.arange(40) % 3)), MLP([4]), out=tmp_path / "run", **TINY)
    assert evaluate(run, write_images(tmp_path / "images", size=20))["samples"] == 12


@pytest.mark.parametrize("verb", ["correct_bias", "export", "cluster", "label", "ensemble"])
def test_every_verb_reads_other_data_as_the_run_did(run, tmp_path: Path, verb: str) -> None:
    larger = write_images(tmp_path / "larger", size=20, seed=1)
    out = tmp_path / "out"
    do = {
        "correct_bias": lambda: correct_bias(run, ["dark"], out=out, data=larger),
        "export": lambda: export(run, "safetensors", out=out.with_suffix(".safetensors"), data=larger),
        "cluster": lambda: cluster(run, larger, clusters=2),
        "label": lambda: label(larger, run, out=out, show=False),
        "ensemble": lambda: ensemble([run], larger, out=out),
    }[verb]
    do()
    if verb in ("correct_bias", "ensemble"):
        assert read_json(out / "config.json")["config"]["data"]["image_size"] == [4, 4]


@pytest.mark.parametrize("verb", ["distill", "tune", "label"])
def test_a_teacher_is_not_asked_about_images_of_another_size(run, images: Path, tmp_path: Path, verb: str) -> None:
    data = load_data(images, image_size=(5, 5), validation=0.3)
    do = {
        "distill": lambda: distill(data, run, MLP([4]), out=tmp_path / "out", **TINY),
        "tune": lambda: tune(data, run, MLP([4]), out=tmp_path / "out", show=False, **TINY),
        "label": lambda: label(data, run, out=tmp_path / "out", show=False),
    }[verb]
    with pytest.raises(MismatchError, match=r"'.*run' takes inputs of shape \[3, 4, 4\], and '.*' has \[3, 5, 5\]"):
        do()


def test_classes_of_other_data_are_those_of_the_run_by_name(run, tmp_path: Path) -> None:
    fewer = write_images(tmp_path / "fewer", names=("dark", "grey"), seed=2)
    found = evaluate(run, fewer)
    assert (found["samples"], found["errors"]) == (8, 0)
    assert found["class_errors"].keys() == set(NAMES)
    swapped = write_images(tmp_path / "swapped", seed=2)
    names = ("grey", "dark", "bright")
    assert evaluate(run, load_data(swapped, image_size=(4, 4), classes=names))["errors"] == 0
    other = write_images(tmp_path / "other", names=("dark", "hell"), seed=2)
    with pytest.raises(
        MismatchError, match=r"expected the classes of '.*run' \(.*\), found samples of other classes in .* \(hell\)"
    ):
        evaluate(run, other)


def test_a_teacher_with_its_classes_in_another_order_is_refused(run, images: Path, tmp_path: Path) -> None:
    data = load_data(images, image_size=(4, 4), validation=0, classes=("grey", "dark", "bright"))
    with pytest.raises(MismatchError, match=r"has its classes in another order \(bright, dark, grey\) than '"):
        distill(data, run, MLP([4]), out=tmp_path / "out", **TINY)


def test_files_that_changed_since_the_training_are_said(
    tmp_path: Path, instar: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_images(tmp_path / "images")
    config = DataConfig(source=str(images), image_size=(4, 4), validation=0)
    run = train(config, MLP([8]), out=tmp_path / "run", **TINY)
    capsys.readouterr()  # how the data were read
    code, out, err = instar("evaluate", run.path, "--json")
    assert (code, "not those" in err) == (0, False)
    assert "changed_data" not in json.loads(out)
    Pictures.new("RGB", (8, 8), (1, 2, 3)).save(images / "test" / "bright" / "0.png")
    code, out, err = instar("evaluate", run.path, "--json")
    assert code == 0
    assert f"instar: the test data are not those that '{run.path}' was made with (fingerprint " in err
    changed = json.loads(out)["changed_data"]
    assert changed["recorded"] == run.fingerprints["data"]["test"] != changed["found"]
    other = write_images(tmp_path / "other", seed=3)
    code, out, err = instar("evaluate", run.path, "--data", other, "--json")
    assert (code, "not those" in err, "changed_data" in json.loads(out)) == (0, False, True)


def test_another_text_has_the_vocabulary_of_the_run(tmp_path: Path) -> None:
    def write(folder: Path, train_text: str, test_text: str) -> Path:
        folder.mkdir()
        for split, text in (("train", train_text), ("test", test_text)):
            (folder / f"{split}.txt").write_text(text)
        return folder

    own = write(tmp_path / "own", "the cat <unk> sat\n" * 20, "the cat sat\n" * 9)
    run = train(load_data(own, length=4, validation=0), LSTM(8, 1), out=tmp_path / "run", epochs=5, batch_size=2)
    swapped = write(tmp_path / "other", "sat sat cat the zebra\n" * 20, "the cat sat\n" * 9)
    assert load_data(swapped, validation=0).classes != load_data(own, validation=0).classes
    assert evaluate(run, swapped)["nll"] == evaluate(run)["nll"]
    unknown = write(tmp_path / "unknown", "sat cat the zebra\n" * 20, "the zebra sat\n" * 9)
    known = write(tmp_path / "known", "the cat <unk> sat\n" * 20, "the <unk> sat\n" * 9)
    assert evaluate(run, unknown)["nll"] == evaluate(run, known)["nll"]


def test_recordings_of_another_rate_are_neither_judged_nor_learnt_from(
    tmp_path: Path, write_recordings: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    splits = {split: [random.integers(-9000, 9000, 800, dtype=np.int16)] * 12 for split in ("train", "test")}
    slow, fast = (write_recordings(tmp_path / str(rate), splits, rate) for rate in (8000, 16000))
    run = train(load_data(slow, label_column="word", validation=0), FrameNet([8], [1, 1]), out=tmp_path / "run", **TINY)
    assert run.result["rate"] == 8000
    message = (
        r"'.*(run|both)' takes recordings of 8,000 samples a second, and '.*' has 16,000; set data\.sample_rate=8000"
    )
    both = ensemble([run], out=tmp_path / "both")
    for subject in (run, both):
        assert evaluate(subject, slow)["samples"] == evaluate(subject)["samples"]
        with pytest.raises(MismatchError, match=message):
            evaluate(subject, fast)
    data = load_data(fast, label_column="word", validation=0)
    with pytest.raises(MismatchError, match=message):
        distill(data, run, FrameNet([4], [1, 1]), out=tmp_path / "student", **TINY)
    with pytest.raises(MismatchError, match=message):
        label(data, run, out=tmp_path / "store", show=False)
    result = read_json(run.path / "result.json")
    write_json(run.path / "result.json", {name: value for name, value in result.items() if name != "rate"})
    capsys.readouterr()
    assert evaluate(run.path, fast)["samples"] > 0  # a run from before runs knew their rate
    assert "does not know the rate of its recordings; these have 16,000 samples a second" in capsys.readouterr().err


def test_grey_images_are_refused_by_a_run_of_coloured_ones(run, tmp_path: Path) -> None:
    grey = write_images(tmp_path / "grey", mode="L")
    with pytest.raises(InstarError, match=r"takes inputs of shape \[3, 4, 4\], and '.*' has \[1, 4, 4\]"):
        evaluate(run, grey)


def test_images_that_are_resized_in_another_way_than_those_of_a_teacher_are_told(tmp_path: Path, capsys) -> None:
    folder, told = str(write_images(tmp_path / "images")), "resized by letterbox, and those of '.*' are resized by crop"
    configs = [DataConfig(source=folder, validation=0, image_size=6, resize=way) for way in ("crop", "letterbox")]
    crop, box = (train(one, MLP([2]), out=tmp_path / str(one.resize), **TINY) for one in configs)
    capsys.readouterr()
    for act in (
        lambda: ensemble([crop, box], out=tmp_path / "both"),
        lambda: distill(configs[0], box, MLP([2]), out=tmp_path / "student", **TINY),
        lambda: evaluate(crop, teacher=box),
        lambda: evaluate(box, load_data(configs[0])),
    ):
        act()
        assert re.search(told, capsys.readouterr().err)
    evaluate(crop, teacher=crop)
    assert capsys.readouterr().err == ""


def test_a_run_records_the_size_that_was_chosen_and_reads_other_images_alike(tmp_path: Path) -> None:
    config = DataConfig(source=str(write_images(tmp_path / "small")), validation=0)  # of 8 x 8 and 7 x 8
    run = train(config, MLP([8]), out=tmp_path / "run", **TINY)
    assert read_json(run.path / "config.json")["config"]["data"]["image_size"] == 7
    assert train(config, MLP([8]), out=tmp_path / "run", **TINY).path == run.path  # the same command is the same run
    wide = tmp_path / "wide"
    for at, (split, name) in enumerate((split, name) for split in ("train", "test") for name in NAMES):
        (wide / split / name).mkdir(parents=True)
        pixels = np.random.default_rng(at).integers(0, 256, (10, 30, 3), dtype=np.uint8)
        for number in range(2):
            Pictures.fromarray(pixels).rotate(180 * number).save(wide / split / name / f"{number}.png")
    cropped = evaluate(run, load_data(wide, image_size=7, resize="crop"))["nll"]
    assert evaluate(run, wide)["nll"] == cropped != evaluate(run, load_data(wide, image_size=(7, 7)))["nll"]
    wanted = load_data(wide, image_size=7).test.inputs().numpy()
    found = predict_proba(run, [wide / "test" / name / f"{number}.png" for name in NAMES for number in range(2)])
    assert np.array_equal(found, predict_proba(run, wanted))


def test_numbers_of_another_scale_are_no_pixels_and_pixels_no_numbers(tmp_path):
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (24, 3, 4, 4), dtype=np.uint8), [0, 1, 2] * 8
    runs = {
        name: train((inputs, labels), MLP([4]), out=tmp_path / name, epochs=1, show=False)
        for name, inputs in {"pixels": pixels, "numbers": pixels.astype(np.float32)}.items()
    }
    with pytest.raises(MismatchError, match=r"takes pixels \(uint8\), and .* holds numbers \(float32\) from 0 to 255"):
        evaluate(runs["pixels"], (pixels.astype(np.float32), labels))
    with pytest.raises(MismatchError, match=r"takes numbers \(float32\), and .* holds pixels \(uint8\); give inputs"):
        distill((pixels, labels), runs["numbers"], MLP([4]), out=tmp_path / "student", epochs=1, show=False)
    # divided by 255, they are what a network of pixels gets
    same = [evaluate(runs["pixels"], (inputs, labels)) for inputs in (pixels, pixels / np.float32(255))]
    assert same[0]["nll"] == pytest.approx(same[1]["nll"], rel=1e-5)
