"""Image classifiers of Transformers, as teachers and as students, with the reader of their image processor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.models.tiny_classifier import NAMES, write_model

import instar as package
from instar.errors import ConfigError, MismatchError
from instar.models.image_classifier import ImageClassifier
from instar.models.image_processor import processor_reader
from instar.models.readers import Pixels
from instar.runs.run import Run
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")


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
    "bicubic": ("ViTImageProcessorPil", {"size": {"height": 32, "width": 24}, "resample": 3}),
    "larger": ("CLIPImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
    "share": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 32}}),
    "plain": ("ViTImageProcessorPil", {"size": {"height": 32, "width": 32}, "do_normalize": False}),
}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("shape", [(40, 57), (61, 38), (20, 23)])
def test_a_reader_does_what_its_processor_does(tmp_path, name, shape):
    kind, settings = PROCESSORS[name]
    processor = getattr(transformers, kind)(**settings)
    reader = processor_reader(str(write_model(tmp_path / "model", processor=processor)))
    assert reader is not None
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    wanted = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    mean, std = reader.statistics()
    found = (reader(torch.from_numpy(pixels).permute(2, 0, 1)[None]) / 255 - mean) / std
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


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


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cat", "dog", "emu"), r"teacher alone has 'emu', the data alone have 'owl'.*cat, dog, emu.*cat, dog, owl"),
        (("cat", "dog", "owl", "emu"), "has 4 classes, and the data have 3: cat, dog, owl, emu against cat, dog, owl"),
        (("LABEL_0", "LABEL_1"), "has 2 classes, and the data have 3: 0 to 1 against cat, dog, owl"),
    ],
)
def test_a_teacher_with_other_classes_is_refused_with_both_lists(tmp_path, pictures, names, said):
    teacher = f"transformers:{write_model(tmp_path / 'model', names)}"
    with pytest.raises(MismatchError, match=said):
        package.distill(str(pictures), teacher, package.models.MLP([4]), out=tmp_path / "no", show=False)
    assert not (tmp_path / "no").exists()
    run = package.train(str(pictures), package.models.MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    with pytest.raises(MismatchError, match=said):
        package.evaluate(run, teacher=teacher)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@pytest.mark.parametrize("names", [("cat", "dog", "emu"), ("ant", "bee"), ("LABEL_0", "LABEL_1")])
def test_a_student_with_other_classes_gets_a_new_last_layer_and_keeps_the_others(tmp_path, kind, names, capfd):
    trained = ImageClassifier(str(write_model(tmp_path / "model", names, kind=kind))).state_dict()
    assert "last layer" not in capfd.readouterr().err
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        given: dict[str, Any] = {"input_shape": (3, 32, 32), "num_classes": 3, "classes": NAMES}
        student = ImageClassifier(str(tmp_path / "model"), **given)
        assert capfd.readouterr().err.count("instar: ") == 1
        assert student.classes == NAMES
        found = student.state_dict()
        assert found.keys() == trained.keys()
        changed = {
            name
            for name, value in found.items()
            if value.shape != trained[name].shape or not torch.equal(value, trained[name])
        }
        assert len(changed) == 2  # weight and bias
        assert all("classifier" in name for name in changed)
        heads.append(torch.cat([found[name].flatten() for name in sorted(changed) if "weight" in name]))
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_student_with_a_new_last_layer_is_said_once_and_loads_again(instar, tmp_path, pictures):
    folder = write_model(tmp_path / "model", ("ant", "bee"))
    out = tmp_path / "student"
    settings = ["--epochs", "4", "--set", "training.learning_rate=0.01"]
    code, _, err = instar("train", pictures, "--model", f"transformers:{folder}", *settings, "--out", out)
    assert code == 0, err
    (line,) = [line for line in err.splitlines() if "last layer" in line]
    assert "its 2 classes (ant, bee) are not the 3 of the data (cat, dog, owl)" in line
    code, _, err = instar("evaluate", out, "--json")
    assert code == 0, err
    assert "last layer" not in err
    assert package.evaluate(out)["errors"] == Run(out).result["metrics"]["errors"] <= 4  # of 18
    # the weights of a headless model get a last layer too
    transformers.ViTModel.from_pretrained(folder).save_pretrained(tmp_path / "headless")
    transformers.AutoImageProcessor.from_pretrained(folder).save_pretrained(tmp_path / "headless")
    headless = f"transformers:{tmp_path / 'headless'}"
    assert package.train(str(pictures), headless, out=tmp_path / "of-headless", epochs=1, show=False).complete


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
