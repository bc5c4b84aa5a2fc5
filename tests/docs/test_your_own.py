"""The three examples of docs/your-own.md run as they stand, and print what loops by hand compute."""

import glob
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
from PIL import Image, ImageOps
from tests.docs.pages import blocks, commands, section
from torch import Tensor, nn

import instar as package
from instar.runs.run import Run

PAGE = "docs/your-own.md"
KINDS = {"airplane": 0, "frog": 6, "truck": 9}
EACH, SIDE = 14, 64
MEAN, STD = torch.tensor([0.5, 0.45, 0.4])[:, None, None], torch.tensor([0.25, 0.25, 0.25])[:, None, None]
NETWORK = """
from torch import nn

class PhotoNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.convolution = nn.Conv2d(3, width, 8, stride=8)
        self.last = nn.Linear(width * 64, 3)

    def forward(self, pixels):
        return self.last(self.convolution(pixels).relu().flatten(1))
"""


def save(image: Image.Image, path: Path, kind: int) -> None:
    """Save a picture in one of ten ways that people have pictures."""
    exif = Image.Exif()
    exif[0x0112] = 8  # the camera was turned
    grey = np.asarray(image.convert("L")).astype(np.uint16)
    clear = image.convert("RGBA")
    clear.putalpha(200)
    ways: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("png", image, {}),
        ("jpg", image, {"quality": 90}),
        ("gif", image.convert("P"), {}),
        ("png", image.convert("L"), {}),
        ("png", image.quantize(64), {}),
        ("jpg", image.convert("CMYK"), {}),
        ("png", Image.fromarray(grey * 257), {}),
        ("jpg", image.transpose(Image.Transpose.ROTATE_270), {"exif": exif}),
        ("png", clear, {}),
        ("webp", image, {"lossless": True}),
    ]
    suffix, made, options = ways[kind % len(ways)]
    made.save(path.with_suffix(f".{suffix}"), **options)


def write_photos(source: Path, folder: Path) -> None:
    """Write real pictures of three classes, of many kinds and sizes, into class folders."""
    rows = pyarrow.parquet.ParquetFile(next(source.glob("test*.parquet"))).iter_batches(600, columns=["img", "label"])
    table = next(iter(rows)).to_pydict()
    random = np.random.default_rng(0)
    for name, label in KINDS.items():
        (folder / name).mkdir(parents=True)
        found = [row["bytes"] for row, given in zip(table["img"], table["label"], strict=True) if given == label]
        for number, content in enumerate(found[:EACH]):
            size = tuple(int(side) for side in random.integers(SIDE, SIDE + 40, 2))
            save(Image.open(io.BytesIO(content)).resize(size), folder / name / f"{number:03}", number)


def prepare(path: Path) -> Image.Image:
    """Decode a picture as a loop by hand does: upright, on white, RGB, shorter side, centre."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    is_deep = image.mode == "I;16"
    image = image if is_deep or image.mode == "L" else image.convert("RGB")
    wide, tall = (SIDE * side // min(image.size) for side in image.size)
    left, top = (wide - SIDE) // 2, (tall - SIDE) // 2
    image = image.resize((wide, tall), Image.Resampling.BILINEAR).crop((left, top, left + SIDE, top + SIDE))
    return (Image.fromarray((np.asarray(image) // 256).astype(np.uint8)) if is_deep else image).convert("RGB")


def as_input(image: Image.Image) -> Tensor:
    return (torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255 - MEAN) / STD


def train_by_hand(network: nn.Module, files: list[Path]) -> nn.Module:
    inputs = torch.stack([as_input(prepare(file)) for file in files])
    labels = torch.tensor([sorted(KINDS).index(file.parent.name) for file in files])
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(4):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(inputs), labels).backward()
        optimiser.step()
    return network.eval()


def write_classifier(folder: Path) -> None:
    """Write a tiny classifier of Transformers and its image processor, with its classes in an order of its own."""
    import transformers

    names = sorted(KINDS, reverse=True)
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=dict(enumerate(names)),
        label2id={name: at for at, name in enumerate(names)},
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


@pytest.fixture
def people(tmp_path: Path, cifar10_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page says that people have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    write_photos(cifar10_folder, tmp_path / "photos")
    (tmp_path / "new").mkdir()
    for number, file in enumerate(sorted(Path("photos").glob("*/001.jpg"))):
        (tmp_path / "new" / f"{number}.jpg").write_bytes(file.read_bytes())
    files = sorted(map(str, Path("photos").rglob("*.*")))
    pd.DataFrame({"path": files, "kind": [Path(file).parent.name for file in files]}).to_csv("photos.csv", index=False)
    return tmp_path


def run_commands(instar: Callable[..., tuple[int, str, str]], title: str) -> list[tuple[str, str]]:
    """Run the commands of a section as a shell would, for one epoch; return what each printed."""
    printed = []
    for words in commands(section(PAGE, title)):
        at = words.index("--epochs") + 1 if "--epochs" in words else None
        words = [*words[:at], "1", *words[at + 1 :]] if at else words  # noqa: PLW2901 (the shortened command)
        expanded = [name for word in words for name in (sorted(glob.glob(word)) if "*" in word else [word])]
        code, out, err = instar(*expanded)
        assert code == 0, f"{words}: {err}"
        printed.append((out, err))
    return printed


def run_program(title: str) -> dict[str, Any]:
    (program,) = blocks(section(PAGE, title), "python")
    found: dict[str, Any] = {}
    exec(compile(re.sub(r"epochs=\d+", "epochs=1", program), PAGE, "exec"), found)
    return found


def test_a_folder_of_pictures_and_a_network_of_the_user(instar, people: Path, monkeypatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    title = "A folder of pictures and a network of yours"
    Path("nets.py").write_text(NETWORK)
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    import nets

    torch.manual_seed(0)
    network = train_by_hand(nets.PhotoNet(width=16), sorted(Path("photos").rglob("*.*")))
    torch.save(network.state_dict(), "teacher.pt")
    (_, told), _, (exported, _), (predicted, _) = run_commands(instar, title)
    # the first look is the error of a loop by hand, on the files of the same pixels
    data = package.load_data("photos", test=0.2, image_size=SIDE)
    by_pixels = {np.asarray(prepare(file)).tobytes(): file for file in Path("photos").rglob("*.*")}
    files = [by_pixels[image.permute(1, 2, 0).numpy().tobytes()] for image in data.validation.inputs()]
    with torch.no_grad():
        found = network(torch.stack([as_input(prepare(file)) for file in files])).argmax(1)
    errors = sum(file.parent.name != sorted(KINDS)[at] for file, at in zip(files, found.tolist(), strict=True))
    assert f"the teacher's error is {errors / len(files):.1%} on {len(files)} validation examples" in told
    assert "int8 (static)" in exported
    # the student reads the same crop at its own size, and `predict` gives it the pixels of the loop by hand
    pixels = [torch.from_numpy(np.asarray(prepare(Path(f"new/{at}.jpg"))).copy()).permute(2, 0, 1) for at in range(3)]
    with torch.no_grad():
        wanted = package.load("runs/student")(torch.stack(pixels)).softmax(1)
    torch.testing.assert_close(
        torch.from_numpy(package.predict_proba("runs/student", sorted(Path("new").iterdir()))), wanted
    )
    assert [line.split("  ")[0] for line in predicted.splitlines()] == ["new/0.jpg", "new/1.jpg", "new/2.jpg"]


def test_a_model_of_transformers(instar, people: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra transformers")
    write_classifier(people / "vit")
    printed = run_commands(instar, "A model of Transformers")
    assert "the teacher's error is" in printed[0][1]
    assert printed[3][0].startswith("new/1.jpg  ")
    for run in ("runs/tuned", "runs/fresh"):
        assert Run(run).config["reader"].startswith("Pixels(size=32")
    assert Run("runs/fresh").classes == tuple(sorted(KINDS))
    # the teacher is its own pipeline, on pictures of other sizes than it takes
    import transformers

    files = sorted(Path("photos").glob("*/000.png"))
    data = package.load_data((files, sorted(KINDS)) * 2, image_size=32, resize="squash", validation=0)
    images = [Image.open(file).convert("RGB") for file in files]
    processed = transformers.AutoImageProcessor.from_pretrained("vit")(images, return_tensors="pt")
    teacher = package.ForeignTeacher("transformers:vit").make(trust=False)
    with torch.no_grad():
        wanted = transformers.AutoModelForImageClassification.from_pretrained("vit").eval()(**processed).logits
        found = teacher.network.eval()(data.test.inputs())
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_data_frame_with_paths_and_words(instar, people: Path, capsys) -> None:
    title = "A data frame with paths and words"
    found = run_program(title)
    assert found["data"].classes == tuple(sorted(KINDS))
    assert "errors on" in capsys.readouterr().out
    run_commands(instar, title)
    # the table and the file hold the same samples
    student = found["student"]
    of_file = package.load_data("photos.csv", label_column="kind", test=0.2, image_size=SIDE)
    assert torch.equal(of_file.test.inputs(), found["data"].test.inputs())
    again = package.evaluate(student, pd.read_csv("photos.csv"))
    assert again["errors"] == student.metrics["errors"]
