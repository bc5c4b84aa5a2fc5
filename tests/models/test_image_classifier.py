"""Image classifiers of Transformers, as teachers and as students, with the reader of their image processor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import instar as package
from instar.errors import ConfigError, MismatchError
from instar.models.image_classifier import ImageClassifier
from instar.models.image_processor import processor_reader
from instar.models.readers import Pixels
from instar.runs.run import Run
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

NAMES = ("cat", "dog", "owl")


def write_model(folder: Path, names: tuple[str, ...] = NAMES, *, processor: Any = None, kind: str = "vit") -> Path:
    """Write a tiny classifier with random weights, as Transformers saves one."""
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
    torch.manual_seed(len(names))
    if kind == "vit":
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = transformers.ViTConfig(image_size=32, patch_size=8, **sizes, **labels)
        model = transformers.ViTForImageClassification(config)
    else:
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], **labels)
        model = transformers.ResNetForImageClassification(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    processor = processor or transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes of noise of three colours, 32 x 32."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 6)):
        for label, name in enumerate(NAMES):
            (folder := tmp_path / "pictures" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 150, (32, 32, 3))
                pixels[..., label] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_it_is_its_own_processor_and_model(tmp_path, pictures, kind):
    folder = write_model(tmp_path / "model", kind=kind)
    teacher = as_teacher(f"transformers:{folder}")
    assert teacher.classes == NAMES
    own = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    files = sorted((pictures / "test").glob("*/*.png"))
    with torch.no_grad():
        wanted = own(**processor([Image.open(file) for file in files], return_tensors="pt")).logits
    teacher.network.eval()
    raw = torch.stack([torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1) for file in files])
    torch.testing.assert_close(teacher.network(raw), wanted, rtol=1e-5, atol=1e-5)


PROCESSORS = {
    "squash": ("ViTImageProcessorPil", {"size": {"height": 24, "width": 32}}),
    "crop": ("CLIPImageProcessorPil", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    "larger": ("CLIPImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
    "share": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 32}}),
    "plain": ("ViTImageProcessorPil", {"size": {"height": 32, "width": 32}, "do_normalize": False}),
}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("shape", [(40, 57), (61, 38)])
def test_a_reader_does_what_its_processor_does(tmp_path, name, shape):
    kind, settings = PROCESSORS[name]
    processor = getattr(transformers, kind)(**settings)
    reader = processor_reader(str(write_model(tmp_path / "model", processor=processor)))
    assert reader is not None
    # a smooth picture, as photographs are: a filter that overshoots differs between versions of Pillow for noise
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    pixels = np.stack([128 + 100 * np.sin(rows / 9 + k) * np.cos(columns / 7) for k in range(3)], -1).astype(np.uint8)
    wanted = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    mean, std = reader.statistics()
    found = (reader(torch.from_numpy(pixels).permute(2, 0, 1)[None]) / 255 - mean) / std
    assert found.shape == wanted.shape
    assert ((found - wanted) * std * 255).abs().max() < 1.01  # one level, by rounding
    assert (found - wanted).abs().mean() < 0.002


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ViTImageProcessorPil", {"size": {"height": 32, "width": 32}, "resample": 0}),
        ("ViTImageProcessorPil", {"size": {"height": 32, "width": 32}, "do_rescale": False}),
        ("ViTImageProcessorPil", {"do_resize": False}),
        ("MobileViTImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
    ],
)
def test_a_processor_that_no_reader_can_express_is_refused(tmp_path, kind, settings):
    folder = write_model(tmp_path / "model", processor=getattr(transformers, kind)(**settings))
    with pytest.raises(ConfigError, match="cannot express; give a reader"):
        as_teacher(f"transformers:{folder}")
    made = as_teacher(package.ForeignTeacher(f"transformers:{folder}", reader="Pixels(32, [0.5], [0.5])"))
    assert made.network.reader == Pixels(32, [0.5], [0.5])


def test_a_teacher_with_its_labels_in_another_order_teaches_the_same(tmp_path, pictures):
    folder = write_model(tmp_path / "model")
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    order = [2, 0, 1]
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight[order])
        model.classifier.bias.copy_(model.classifier.bias[order])
    model.config.id2label = {at: NAMES[index] for at, index in enumerate(order)}
    model.config.label2id = {name: at for at, name in model.config.id2label.items()}
    model.save_pretrained(tmp_path / "permuted")
    transformers.AutoImageProcessor.from_pretrained(folder).save_pretrained(tmp_path / "permuted")
    weights = []
    for name in ("model", "permuted"):
        student = {"name": "mlp", "arguments": {"widths": [8]}}
        teacher = f"transformers:{tmp_path / name}"
        settings: dict[str, Any] = {"epochs": 2, "reader": "Pixels(8)", "show": False}
        run = package.distill(str(pictures), teacher, student, out=tmp_path / f"of-{name}", **settings)
        weights.append(run.weights.read_bytes())
        assert package.distill(str(pictures), teacher, student, out=run.path, **settings).complete
    assert weights[0] == weights[1]


def test_other_labels_are_refused_with_both_lists(tmp_path, pictures):
    folder = write_model(tmp_path / "model", ("cat", "dog", "emu"))
    for verb, given in (("distill", {"teacher": f"transformers:{folder}", "model": "mlp"}), ("train", {})):
        model = given or {"model": f"transformers:{folder}"}
        with pytest.raises(MismatchError, match="emu") as raised:
            getattr(package, verb)(str(pictures), out=tmp_path / "no", show=False, **model)
        assert "owl" in str(raised.value)
    assert not (tmp_path / "no").exists()


def test_a_student_learns_and_loads_again_with_its_processor(instar, tmp_path, pictures):
    folder = write_model(tmp_path / "model", NAMES[::-1])
    out = tmp_path / "student"
    command = ["train", pictures, "--model", f"transformers:{folder}", "--epochs", "4", "--out", out]
    code, _, err = instar(*command, "--set", "training.learning_rate=0.01")
    assert code == 0, err
    run = Run(out)
    assert "Pixels(size=32" in run.config["reader"]
    model = package.load(out)
    assert isinstance(model.network, ImageClassifier)
    code, _, err = instar("evaluate", out)
    assert code == 0, err
    again = package.evaluate(out)
    assert again["errors"] == run.result["metrics"]["errors"]
    assert again["errors"] <= 4  # of 18; the colours tell the classes apart
    code, _, err = instar(*command, "--set", "training.learning_rate=0.01")
    assert code == 0, err
    fresh = tmp_path / "fresh"
    code, _, err = instar(*command[:-1], fresh, "--arg", "pretrained=false", "--epochs", "1", "--reader", "Pixels(32)")
    assert code == 0, err
    assert package.distill(str(pictures), fresh, package.models.MLP([4]), out=tmp_path / "end", epochs=1).complete


def test_a_model_without_a_trained_head_is_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    model = transformers.ViTModel.from_pretrained(folder)
    model.save_pretrained(tmp_path / "headless")
    transformers.AutoImageProcessor.from_pretrained(folder).save_pretrained(tmp_path / "headless")
    with pytest.raises(MismatchError, match=r"lacks weights .* 'classifier\.(bias|weight)'"):
        as_teacher(f"transformers:{tmp_path / 'headless'}")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match="has no image processor"):
        as_teacher(f"transformers:{folder}")
