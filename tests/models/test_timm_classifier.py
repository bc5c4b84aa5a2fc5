"""Image classifiers of timm, as teachers and as students, with the reader of their pretrained configuration."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import instar as package
from instar.errors import ConfigError, MismatchError
from instar.models.readers import Pixels, parse_reader
from instar.models.timm_classifier import TimmClassifier, pretrained_classes, read_pretrained_config, timm_reader
from instar.runs.run import Run
from instar.teachers import ForeignTeacher, as_teacher

NAMES = ("cat", "dog", "owl")
SMALL = "resnet10t"
DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("trust", [False, True])
def test_without_timm_its_models_are_refused_in_a_sentence(monkeypatch, tmp_path, trust):
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it was not installed
    sentence = r"'timm:resnet18' needs the extra: pip install 'instar\[timm\]'; or give package.module:function"
    for call in (
        lambda: as_teacher("timm:resnet18", trust=trust),
        lambda: package.train("digits", "timm:resnet18", out=tmp_path / "no", trust=trust),
    ):
        with pytest.raises(ConfigError, match=sentence):
            call()
    assert not (tmp_path / "no").exists()


@pytest.fixture(scope="module")
def timm() -> Any:
    return pytest.importorskip("timm", reason="timm is not installed")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes of noise of three colours, 32 x 32."""
    draws = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for label, name in enumerate(NAMES):
            (folder := tmp_path / "pictures" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 150, (32, 32, 3))
                pixels[..., label] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "pictures"


def write_model(timm: Any, folder: Path, names: tuple[str, ...] = NAMES) -> str:
    """Write a model with random weights, as timm saves one, and return its name."""
    torch.manual_seed(len(names))
    model = timm.create_model(SMALL, num_classes=len(names))
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.5, 0.5)
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    statistics = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
    sizes = {"input_size": [3, 64, 64], "crop_pct": 0.95, "crop_mode": "center", "interpolation": "bicubic"}
    kept = {key: model.pretrained_cfg[key] for key in ("first_conv", "classifier")}
    config = {"num_classes": len(names), "label_names": list(names), **statistics, **sizes, **kept}
    (folder / "config.json").write_text(json.dumps({"architecture": SMALL, "pretrained_cfg": config}))
    return f"local-dir:{folder}"


# square crops of several shares, one of a model that squashes, and both filters
READ = (
    "resnet10t",  # 176, 0.875, bilinear
    "resnet50.a1_in1k",  # 224, 0.95: an odd number of pixels is cropped
    "mobilenetv3_small_100",
    "vit_tiny_patch16_224",
    "efficientnet_b0",
    "convnext_atto",
    "vit_base_patch16_clip_224.openai",
    "vit_base_patch16_siglip_224",  # squash
)


@pytest.mark.parametrize("name", READ)
def test_a_reader_does_what_the_transform_of_timm_does(timm, name):
    from timm.data import create_transform, resolve_data_config

    reader = timm_reader(name)
    assert parse_reader(str(reader)) == reader
    config = timm.get_pretrained_cfg(name).to_dict()
    resolved = resolve_data_config({}, pretrained_cfg=config)
    transform = create_transform(**resolved, is_training=False)
    mean, std = reader.statistics()
    assert mean.flatten().tolist() == pytest.approx(list(resolved["mean"]))
    scale = reader.shorter or max(resolved["input_size"])
    rows, columns = np.meshgrid(np.arange(2 * scale + 9), np.arange(2 * scale + 9), indexing="ij")
    waves = np.stack([128 + 100 * np.sin(rows / 9 + k) * np.cos(columns / 7) for k in range(3)], -1).astype(np.uint8)
    for height, width in ((scale, scale), (scale, scale + 3), (2 * scale + 9, scale + 40), (scale - 7, scale + 6)):
        picture = waves[:height, :width]
        if (height, width) == tuple(resolved["input_size"][1:]) and reader.shorter:
            continue
        wanted = transform(Image.fromarray(picture))
        found = (reader(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None])[0] / 255 - mean) / std
        assert found.shape == wanted.shape
        levels = ((found - wanted) * std * 255).abs()
        assert levels.max() < 1e-3


def test_a_transform_that_no_reader_can_express_is_refused(timm, tmp_path):
    write_model(timm, tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    content = json.loads(file.read_text())
    for change in ({"crop_mode": "border"}, {"interpolation": "nearest"}):
        file.write_text(json.dumps({**content, "pretrained_cfg": {**content["pretrained_cfg"], **change}}))
        with pytest.raises(ConfigError, match="cannot express"):
            as_teacher(f"timm:local-dir:{tmp_path / 'model'}")
        given = ForeignTeacher(f"timm:local-dir:{tmp_path / 'model'}", reader="Pixels(64, [0.5], [0.5])")
        assert as_teacher(given).network.reader == Pixels(64, [0.5], [0.5])


@pytest.mark.skipif(not (DATA / "cifar10").is_dir(), reason="needs ../shared/data/cifar10")
def test_a_teacher_predicts_real_pictures_as_timm_does(timm, tmp_path):
    from timm.data import create_transform, resolve_data_config

    name = write_model(timm, tmp_path / "model", tuple(map(str, range(10))))
    model = timm.create_model(name, pretrained=True).eval()
    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(next((DATA / "cifar10").rglob("*test*.parquet"))))["train"]
    pictures = [rows[number]["img"].convert("RGB") for number in range(16)]
    teacher = as_teacher(f"timm:{name}")
    raw = torch.stack([torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) for picture in pictures])
    with torch.no_grad():
        wanted = model(torch.stack([transform(picture) for picture in pictures])).softmax(-1)
        found = teacher.network.eval()(raw).softmax(-1)
        # the same pixels, standardised by hand
        exact = model((teacher.network.reader(raw) / 255 - teacher.network.mean) / teacher.network.std).softmax(-1)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    # pictures whose shorter side has the length before the crop are not resampled, so nothing is rounded
    side = teacher.network.reader.shorter
    large = [picture.resize((side + 3, side)) for picture in pictures]
    raw = torch.stack([torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) for picture in large])
    with torch.no_grad():
        wanted = model(torch.stack([transform(picture) for picture in large])).softmax(-1)
        torch.testing.assert_close(teacher.network(raw).softmax(-1), wanted, rtol=0, atol=1e-5)


def test_a_teacher_of_a_name_and_a_file_of_weights(timm, instar, tmp_path, pictures):
    name = write_model(timm, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    command = ["distill", pictures, "--teacher", f"timm:{SMALL}", "--teacher-weights", file, "--teacher-arg"]
    command += ["num_classes=3", "--model", "mlp", "--arg", "widths=[4]", "--reader", "Pixels(8)", "--epochs", "1"]
    code, _, err = instar(*command, "--out", tmp_path / "run")
    assert code == 0, err
    code, _, err = instar(*command, "--out", tmp_path / "run")
    assert code == 0, err
    given = ForeignTeacher(f"timm:{SMALL}", {"num_classes": 3}, file, str(timm_reader(name)))
    own = as_teacher(f"timm:{name}")
    assert own.classes == NAMES
    raw = torch.randint(0, 256, (2, 3, 70, 70), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(as_teacher(given).network.eval()(raw), own.network.eval()(raw))
    with pytest.raises(MismatchError, match="do not fit"):
        as_teacher(ForeignTeacher(f"timm:{SMALL}", {}, file))


def test_classes_of_a_teacher_are_matched_by_name(timm, tmp_path, pictures):
    name = write_model(timm, tmp_path / "model")
    folder = tmp_path / "permuted"
    folder.mkdir()
    content = json.loads((tmp_path / "model" / "config.json").read_text())
    order = [2, 0, 1]
    content["pretrained_cfg"]["label_names"] = [NAMES[at] for at in order]
    (folder / "config.json").write_text(json.dumps(content))
    state = timm.create_model(name, pretrained=True).state_dict()
    save_file(
        {key: value[order] if "fc." in key else value for key, value in state.items()}, folder / "model.safetensors"
    )
    weights = []
    for kind in ("model", "permuted"):
        student, out = package.models.MLP([8]), tmp_path / f"of-{kind}"
        teacher = f"timm:local-dir:{tmp_path / kind}"
        run = package.distill(str(pictures), teacher, student, out=out, epochs=1, reader="Pixels(8)", show=False)
        weights.append(run.weights.read_bytes())
    assert weights[0] == weights[1]
    other = write_model(timm, tmp_path / "other", ("cat", "dog", "emu"))
    with pytest.raises(MismatchError, match=r"cat, dog, emu.*cat, dog, owl"):
        package.distill(str(pictures), f"timm:{other}", package.models.MLP([8]), out=tmp_path / "no", show=False)


def test_timm_knows_the_names_of_imagenet(timm):
    teacher = as_teacher(ForeignTeacher("timm:resnet10t", {"pretrained": False}))
    assert teacher.classes is None  # nobody knows what somebody else's weights mean
    names = pretrained_classes(read_pretrained_config("resnet10t"))
    assert (len(names), names[0], names[-1]) == (1000, "n01440764", "n15075141")


def test_a_student_learns_keeps_its_last_layer_and_loads_again(timm, instar, tmp_path, pictures):
    name = write_model(timm, tmp_path / "model", NAMES[::-1])
    out = tmp_path / "student"
    command = ["train", pictures, "--model", f"timm:{name}", "--epochs", "2", "--set", "training.learning_rate=0.01"]
    code, _, err = instar(*command, "--out", out)
    assert code == 0, err
    assert "last layer" not in err
    run = Run(out)
    assert "Pixels(size=64" in run.config["reader"]
    model = package.load(out)
    assert isinstance(model.network, TimmClassifier)
    code, _, err = instar("evaluate", out)
    assert code == 0, err
    assert package.evaluate(out)["errors"] == run.result["metrics"]["errors"]
    code, _, err = instar(*command, "--out", out)
    assert code == 0, err
    assert package.export(run, "hub", out=tmp_path / "hub").difference == 0
    with pytest.raises(MismatchError, match="transformers opens its own models"):
        package.export(run, "transformers", out=tmp_path / "no")


def test_a_student_with_other_classes_gets_a_new_last_layer(timm, tmp_path, pictures, capfd):
    name = write_model(timm, tmp_path / "model", ("ant", "bee"))
    trained = timm.create_model(name, pretrained=True).state_dict()
    capfd.readouterr()
    student = TimmClassifier(name, input_shape=(3, 64, 64), num_classes=3, classes=NAMES)
    (line,) = capfd.readouterr().err.splitlines()
    assert "its 2 classes (ant, bee) are not the 3 of the data (cat, dog, owl)" in line
    found = student.model.state_dict()
    assert {key for key, value in trained.items() if not torch.equal(value, found[key])} == {"fc.weight", "fc.bias"}
    fresh = package.train(
        str(pictures),
        {"name": f"timm:{SMALL}", "arguments": {"pretrained": False, "drop_rate": 0.1}},
        out=tmp_path / "fresh",
        epochs=1,
        reader="Pixels(32)",
        show=False,
    )
    assert package.evaluate(fresh)["errors"] == fresh.result["metrics"]["errors"]


def test_what_timm_cannot_make_is_refused_in_a_sentence(timm, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="timm cannot make 'resnet-nothing'"):
        as_teacher("timm:resnet-nothing")
    with pytest.raises(ConfigError, match="has no argument 'checkpoint_path'"):  # a file, which could hold code
        as_teacher(ForeignTeacher("timm:resnet10t", {"checkpoint_path": "x.pth"}))
    with pytest.raises(MismatchError, match="takes images of 3 channels"):
        TimmClassifier("resnet10t", pretrained=False, input_shape=(1, 64, 64), num_classes=2)
