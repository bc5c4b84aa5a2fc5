"""A student of Transformers goes back to Transformers, whose own pipeline predicts what the run predicts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tests.models.llama import save_llama
from tests.models.tiny_classifier import NAMES, write_model

import instar as package
from instar.errors import MismatchError, RunError
from instar.models import CNN

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

# torchvision, which Transformers takes where it is installed, rounds resized pixels differently from Pillow
TOLERANCE = 5e-3 if transformers.utils.is_torchvision_available() else 1e-5

SIZES = [(40, 57), (61, 38), (32, 35), (48, 48), (33, 90)]  # (height, width)


def write_pictures(folder: Path, sizes: list[tuple[int, int]], *, grey: bool = False) -> Path:
    """Write pictures of three classes; each has a grey one and a photograph on its side among those in colour."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 5)):
        for label, name in enumerate(NAMES):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 150, (*sizes[number % len(sizes)], 3))
                pixels[..., label] += 100
                image = Image.fromarray(pixels.astype(np.uint8))
                exif = Image.Exif()
                if number == 3 and len(sizes) > 1:
                    exif[0x0112] = 6  # the camera was turned
                if number == 4 or grey:
                    image = image.convert("L")
                image.save(folder / split / name / f"{number}.png", exif=exif)
    return folder


def clip(edge: int, **settings: Any) -> Any:
    crop = {"height": 32, "width": 32}
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size=crop, **settings)


# how the data are prepared, the processor that the student comes with, and that of the export
READINGS: dict[str, tuple[dict[str, Any], Any, list[tuple[int, int]], str]] = {
    "crop of the data": ({"image_size": 32}, None, SIZES, "CLIPImageProcessor"),
    "crop of the smallest side": ({}, None, [(32, 45), (50, 38), (38, 33)], "CLIPImageProcessor"),
    "squash of the data": ({"image_size": (32, 32)}, None, SIZES, "ViTImageProcessor"),
    "centre of the crop": ({"image_size": 40}, lambda: clip(40, resample=2), SIZES, "CLIPImageProcessor"),
    "one size": ({}, None, [(32, 32)], "ViTImageProcessor"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    folder = tmp_path_factory.mktemp("trained")

    def train(name: str) -> Any:
        settings, processor, sizes, _ = READINGS[name]
        pictures = write_pictures(folder / name / "pictures", sizes)
        model = write_model(folder / name / "model", NAMES[::-1], processor=processor() if processor else None)
        data = package.load_data(str(pictures), **settings)
        return package.train(data, f"transformers:{model}", out=folder / name / "run", epochs=1, show=False), pictures

    return train


@pytest.mark.parametrize("name", READINGS)
def test_its_pipeline_predicts_what_the_run_predicts_from_a_picture(trained, tmp_path, name):
    run, pictures = trained(name)
    out = tmp_path / "out"
    written = package.export(run, "transformers", out=out)
    assert written.difference < 1e-5
    assert written.recorded is not None
    pipeline = transformers.pipeline("image-classification", model=str(out))
    files = sorted(map(str, (pictures / "test").rglob("*.png")))
    wanted = package.predict_proba(run, files)
    for file, row in zip(files, wanted, strict=True):
        found = {one["label"]: one["score"] for one in pipeline(file, top_k=None)}
        np.testing.assert_allclose([found[label] for label in NAMES], row, atol=TOLERANCE)
    assert np.ptp(wanted, axis=0).max() > 0.01  # the pictures are told apart
    card = (out / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["library_name"], front["pipeline_tag"]) == ("transformers", "image-classification")
    assert "&id" not in card  # no references in YAML, which the Hub's editor shows
    program = card.split("```python\n")[1].split("```")[0]
    printed: list[Any] = []
    code = program.replace("FOLDER", str(out)).replace("picture.jpg", files[0]).replace("print(", "printed.append(")
    exec(code, {"printed": printed})
    assert {one["label"] for one in printed[0]} == set(NAMES)
    assert "checksum" not in (out / "preprocessor_config.json").read_text()
    config = transformers.AutoConfig.from_pretrained(out)
    assert sorted(config.id2label.values()) == sorted(NAMES)
    assert config.label2id == {name: at for at, name in config.id2label.items()}
    assert str(tmp_path.parent) not in (out / "config.json").read_text()
    assert (
        transformers.AutoImageProcessor.from_pretrained(out)
        .to_dict()["image_processor_type"]
        .startswith(READINGS[name][3])
    )
    # and it is a teacher again
    if name == "one size":
        again = package.distill(str(pictures), f"transformers:{out}", CNN([4], 8), out=tmp_path / "again", epochs=1)
        assert again.complete
    package.export(run, "transformers", out=out)  # the same again
    (out / "config.json").write_text("{}")
    with pytest.raises(RunError, match="another export"):
        package.export(run, "transformers", out=out)


def test_a_reader_that_resizes_small_pictures_is_said_to_be_for_their_size(tmp_path, instar):
    pictures = write_pictures(tmp_path / "pictures", [(24, 24)])
    folder = write_model(tmp_path / "model")
    run, out = tmp_path / "run", tmp_path / "out"
    code, _, err = instar("train", pictures, "--model", f"transformers:{folder}", "--epochs", "1", "--out", run)
    assert code == 0, err
    code, _, err = instar("export", run, "--to", "transformers", "--out", out)
    assert (code, err.count("instar: ")) == (0, 1)
    assert "pictures of 24 x 24 pixels, the size of the data" in err
    pipeline = transformers.pipeline("image-classification", model=str(out))
    for file in (pictures / "test").rglob("*.png"):
        found = {one["label"]: one["score"] for one in pipeline(str(file), top_k=None)}
        (wanted,) = package.predict_proba(run, [file])
        np.testing.assert_allclose([found[label] for label in NAMES], wanted, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("settings", "reader", "said"),
    [
        ({"image_size": 32, "resize": "letterbox"}, None, r"to 32 x 32 \(letterbox\)"),
        ({"image_size": 40}, "Pixels(32)", r"to 40 x 40 \(crop\) and then to 32 x 32 \(crop\)"),
        ({"image_size": (30, 40)}, "Pixels(32, shorter=40)", "and then to 32 x 32"),
        ({"image_size": (32, 48), "resize": "crop"}, "Pixels((32, 48))", "no image processor"),
    ],
)
def test_a_reading_that_no_processor_has_is_refused(tmp_path, settings, reader, said):
    pictures = write_pictures(tmp_path / "pictures", SIZES)
    data = package.load_data(str(pictures), **settings)
    model = write_model(tmp_path / "model", kind="resnet")
    given = {"reader": reader} if reader else {}
    run = package.train(data, f"transformers:{model}", out=tmp_path / "run", epochs=1, show=False, **given)
    with pytest.raises(MismatchError, match=said):
        package.export(run, "transformers", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert package.export(run, "hub", out=tmp_path / "hub").difference == 0  # which needs no other folder


def test_other_students_are_refused(tmp_path):
    run = package.train("digits", CNN([4], 8), out=tmp_path / "run", epochs=1, show=False)
    with pytest.raises(MismatchError, match=r"the student of .* is a 'cnn'; export it with --to hub"):
        package.export(run, "transformers", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_student_of_grey_images_is_refused(tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(image_size=8, patch_size=4, num_channels=1, num_labels=10, **sizes)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "model")
    run = package.train("digits", f"transformers:{tmp_path / 'model'}", out=tmp_path / "run", epochs=1, show=False)
    with pytest.raises(MismatchError, match=r"RGB pictures, and .* takes inputs of type float32 and shape \[1, 8, 8\]"):
        package.export(run, "transformers", out=tmp_path / "out")


def test_an_export_for_the_hub_needs_no_other_folder(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", [(32, 32)])
    model = write_model(tmp_path / "model", ("ant", "bee"))
    run = package.train(str(pictures), f"transformers:{model}", out=tmp_path / "run", epochs=1, show=False)
    package.export(run, "hub", out=tmp_path / "hub")
    raw = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    wanted = package.load(run)(raw)
    model.rename(tmp_path / "gone")
    assert torch.equal(package.load(tmp_path / "hub")(raw), wanted)


def test_a_language_student_goes_back_with_its_tokenizer(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(("<eos>", "the", "cat", "dog", "sat", "ran"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = Path(save_llama(tmp_path / "model"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>").save_pretrained(folder)
    (text := tmp_path / "text").mkdir()
    for split in ("train", "test"):
        (text / f"{split}.txt").write_text("the cat sat\nthe dog ran\n" * 20)
    data = package.load_data(str(text), tokenizer=str(folder), length=5)
    run = package.train(data, f"transformers:{folder}", out=tmp_path / "run", epochs=1, show=False, batch_size=4)
    assert package.export(run, "transformers", out=tmp_path / "out").difference < 1e-5
    opened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")("the cat sat", return_tensors="pt").input_ids
    with torch.no_grad():
        torch.testing.assert_close(opened(tokens).logits[..., :6], package.load(run)(tokens), rtol=0, atol=1e-5)
