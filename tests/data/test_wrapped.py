"""Transforms of libraries and of users as views: pure, stored, named in texts, and refused where they are not pure."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

import instar
from instar.data import Flip, Wrapped, load_data, parse_views
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws
from instar.targets.store import TargetStore


class Jitter(nn.Module):
    """A transform as those of torchvision's v2: a module that draws from torch, on a tensor."""

    def __init__(self, most: int = 30) -> None:
        super().__init__()
        self.most = most

    def forward(self, image: Tensor) -> Tensor:
        change = torch.randint(-self.most, self.most + 1, (1,), dtype=torch.int16)
        return (image + change).clamp(0, 255).to(image.dtype)


class Turn:
    """A transform as those of torchvision's v1: an object that draws from `random`, on an image of Pillow."""

    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.rotate(random.uniform(-self.degrees, self.degrees))


class Brightest:
    """A transform that keeps the image before, which the same image in each call would not show."""

    def __init__(self) -> None:
        self.last = torch.zeros(1)

    def __call__(self, image: Tensor) -> Tensor:
        self.last, before = image.float(), self.last
        return torch.maximum(self.last, before).to(image.dtype)


class OwnGenerator:
    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __call__(self, image: Tensor) -> Tensor:
        return image + int(self.generator.integers(100))


def speckle(image: Tensor) -> Tensor:
    """Change the image in place by numbers of NumPy."""
    image[:, np.random.randint(image.shape[1])] = np.random.randint(256)
    return image


def mirror_in_pillow(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(ImageOps.mirror(image))).view(image.height, image.width, -1).movedim(-1, 0)


def halve(image: Tensor) -> Tensor:
    return image[:, ::2, ::2]


def make_jitter(most: int) -> Callable[[Tensor], Tensor]:
    return Jitter(most)


def erase_disk(name: str = "/") -> None:
    raise SystemExit(name)


jitter = Jitter(9)
HERE = __name__
VIEWS = [
    Wrapped(Jitter(40)),
    Wrapped(Turn(90), takes="pillow"),
    Wrapped(speckle),
    Flip() + Wrapped(halve),
    Wrapped(mirror_in_pillow, "pillow") + Wrapped(Jitter(5)) + Wrapped(Jitter(5)),
]


def draws(ids: list[int] | range, seed: int = 0, view: int = 0) -> Draws:
    return Draws(seed, torch.tensor(list(ids)), view)


def images(number: int, channels: int = 3) -> Tensor:
    return torch.randint(
        256, (number, channels, 8, 10), generator=torch.Generator().manual_seed(0), dtype=torch.int64
    ).to(torch.uint8)


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_the_same_in_a_batch_of_any_size(view: Any, channels: int) -> None:
    batch, ids = images(11, channels), list(range(100, 111))
    whole = view(batch, draws(ids, seed=3, view=2))
    for size in (1, 4):
        parts = [view(batch[i : i + size], draws(ids[i : i + size], 3, 2)) for i in range(0, 11, size)]
        assert torch.equal(whole, torch.cat(parts))
    assert tuple(whole.shape[1:]) == view.shape(tuple(batch.shape[1:]))
    assert torch.equal(batch, images(11, channels))


@pytest.mark.parametrize("view", VIEWS[:3], ids=str)
def test_seed_view_and_id_each_change_what_is_drawn(view: Wrapped) -> None:
    batch = images(1).expand(20, -1, -1, -1)
    base = view(batch, draws(range(20)))
    assert not torch.equal(base[0], base[1])
    for other in (draws(range(20), view=1), draws(range(20), seed=1), draws(range(20, 40))):
        assert not torch.equal(base, view(batch, other))


def test_an_image_is_what_the_transform_makes_after_seeding_by_hand() -> None:
    batch, drawn = images(6), draws(range(6), seed=9)
    seeds = drawn.bits("wrapped").tolist()
    for view, transform in ((Wrapped(Jitter(40)), Jitter(40)), (Wrapped(speckle), speckle)):
        for image, seed, found in zip(batch, seeds, view(batch, drawn), strict=True):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            assert torch.equal(found, transform(image.clone()))
    for image, seed, found in zip(batch, seeds, Wrapped(Turn(90), "pillow")(batch, drawn), strict=True):
        random.seed(seed)
        turned = Turn(90)(Image.fromarray(image.movedim(0, -1).numpy()))
        assert np.array_equal(np.asarray(turned), found.movedim(0, -1).numpy())


def test_the_global_generators_stay_as_they_are() -> None:
    def numbers() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    expected = numbers()
    seed()
    for view in VIEWS[:3]:
        view(images(3), draws(range(3)))
    with pytest.raises(ConfigError):
        Wrapped(lambda image: image[0])(images(3), draws(range(3)))
    assert numbers() == expected


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (f"Wrapped({HERE}:jitter)", f"Wrapped(transform={HERE}:jitter, takes='tensor')"),
        (f"Wrapped({HERE}:speckle)", str(VIEWS[2])),
        (f"Wrapped({HERE}:Jitter(most=40))", f"Wrapped(transform={HERE}:Jitter(most=40), takes='tensor')"),
        (f"Wrapped({HERE}:make_jitter(40))", f"Wrapped(transform={HERE}:make_jitter(40), takes='tensor')"),
        (
            f"Flip() + Wrapped({HERE}:Turn(5), takes='pillow')",
            f"Flip() + Wrapped(transform={HERE}:Turn(5), takes='pillow')",
        ),
    ],
)
def test_texts_name_transforms_and_read_back(text: str, written: str) -> None:
    view = parse_views(text, trust=True)
    assert str(view) == written
    assert parse_views(written, trust=True) == view
    assert view(images(3), draws(range(3))).shape == (3, 3, 8, 10)
    with pytest.raises(ConfigError, match="is not part of Instar, so loading it runs code"):
        parse_views(text)


def test_an_object_is_known_by_its_content() -> None:
    assert Wrapped(Jitter(4)) == Wrapped(Jitter(4)) != Wrapped(Jitter(5))
    assert Wrapped(speckle) == parse_views(f"Wrapped({HERE}:speckle)", trust=True)
    three, four = (Wrapped(lambda image, number=number: image + number) for number in (3, 4))
    assert three != four
    with pytest.raises(ConfigError, match="from an object of Python, which no text can make again; give the same"):
        parse_views(str(three), trust=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"Wrapped({HERE}:Jitter)", r"Jitter' is a class; call it, as in .*:Jitter\(\)"),
        (f"Wrapped({HERE}:HERE)", r"must be a transform, which can be called"),
        (f"Wrapped({HERE}:erase_disk('/'))", r"must call a class with __call__ or a function that is annotated"),
        ("Wrapped(operator:methodcaller('tofile', 'a'))", r"must call a class with __call__"),
        (f"Wrapped({HERE}:Jitter(1, 2))", r"cannot be made: .*takes from 1 to 2 positional arguments"),
        (f"Wrapped('{HERE}:Jitter()')", r"is a quoted name; write it without quotes, as in Wrapped\("),
        (f"Wrapped({HERE}:jitter, 'jpeg')", r"Wrapped\(takes\) must be 'tensor' or 'pillow', got 'jpeg'"),
        ("Wrapped(3)", r"must be a function or an object with __call__, got 3"),
        ("Wrapped()", r"view 'Wrapped' cannot be made: .*'transform'"),
        (f"Wrapped({HERE}:missing)", r"cannot be imported"),
    ],
)
def test_impossible_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_views(text, trust=True)


def cut_at_random(image: Tensor) -> Tensor:
    return image[:, int(torch.randint(3, ())) :]


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (Brightest(), "and keep nothing between calls"),
        (OwnGenerator(), "gives other images when it is called again with the same seed; it must draw"),
        (cut_at_random, "gives images of .* and .* pixels; end it with a resize or a crop to one size"),
        (
            lambda image: image / 255,
            r"an image with 3 channels of torch.uint8, got torch.float32 \[3, 8, 10\]",
        ),
        (lambda image: image[:1], r"got torch.uint8 \[1, 8, 10\]"),
        (lambda image: None, r"got NoneType; leave out ToTensor"),
        (lambda image: image @ image, r"failed on an image \[3, 8, 10\] of torch.uint8"),
    ],
)
def test_what_is_no_transform_of_images_is_refused(transform: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Wrapped(transform)(images(2), draws(range(2)))


def test_inputs_that_pillow_does_not_hold_are_refused() -> None:
    for batch in (images(2).float(), images(2)[:, :2]):
        with pytest.raises(MismatchError, match=r"needs grey or RGB images with pixels 0\.\.255"):
            Wrapped(Turn(9), takes="pillow")(batch, draws(range(2)))
    with pytest.raises(MismatchError, match=r"view 'Wrapped' needs images"):
        Wrapped(speckle)(torch.zeros(2, 3, 4), draws(range(2)))


def test_a_transform_of_floats_keeps_them() -> None:
    view = Wrapped(lambda image: image + 0.1 * torch.randn_like(image))
    assert view(images(2).float(), draws(range(2))).dtype == torch.float32
    assert view.shape((3, 8, 10)) == (3, 8, 10)


def test_a_store_of_transformed_images_trains_as_the_teacher_itself(tmp_path: Path) -> None:
    data = load_data("digits", subset=100)
    teacher = instar.train(data, instar.models.MLP([8]), out=tmp_path / "teacher", epochs=1, show=False)
    options: dict[str, Any] = {"num_views": 2, "epochs": 1, "show": False, "trust": True}
    options["views"] = f"Wrapped({HERE}:Jitter(3)) + Shift(1)"
    exact = {"online": None, "store": {"store.dtype": "float32"}}
    runs = []
    for targets, settings in exact.items():
        out = tmp_path / targets
        student = instar.models.MLP([8])
        runs.append(instar.distill(data, teacher, student, out=out, targets=targets, settings=settings, **options))
    weights = [run.model.state_dict() for run in runs]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


TRANSFORMS = """
import torch

def dim(image):
    return image // (1 + torch.randint(3, (1,))).to(image.dtype)
"""


def test_a_typed_transform_is_imported_from_the_working_directory_and_several_processes_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    command = request.getfixturevalue("instar")
    (tmp_path / "my_transforms.py").write_text(TRANSFORMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    small = ["--model", "mlp", "--arg", "widths=[8]", "--epochs", "1", "--set", "data.subset=100"]
    views = ["--views", "Wrapped(my_transforms:dim)"]
    assert command("train", "digits", *small, *views, "--out", "teacher")[0] == 0
    assert command("train", "digits", *small, *views, "--out", "teacher")[0] == 0  # the complete run
    label = ["label", "digits", "--teacher", "teacher", "--set", "data.subset=100", *views, "--num-views", "3"]
    for share in ("2/2", "1/2"):
        assert command(*label, "--share", share, "--shard-rows", "1", "--out", "shared")[0] == 0
    assert command(*label, "--batch-size", "7", "--out", "whole")[0] == 0
    stores = [TargetStore(tmp_path / name).part("train") for name in ("shared", "whole")]
    assert torch.equal(stores[0].records, stores[1].records)


@pytest.mark.parametrize("takes", ["tensor", "pillow"])
@pytest.mark.parametrize("version", ["torchvision.transforms", "torchvision.transforms.v2"])
def test_a_transform_of_torchvision_is_applied_as_torchvision_applies_it(version: str, takes: Any) -> None:
    transforms = pytest.importorskip(version, reason="torchvision is not installed")
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(8),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.4, 0.4, 0.4),
        ]
    )
    batch, drawn = images(5), draws(range(5))
    view = Wrapped(transform, takes=takes)
    assert view == Wrapped(transform, takes=takes)
    for image, seed, found in zip(batch, drawn.bits("wrapped").tolist(), view(batch, drawn), strict=True):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        given = image if takes == "tensor" else Image.fromarray(image.movedim(0, -1).numpy())
        expected = transform(given)
        expected = expected if takes == "tensor" else torch.from_numpy(np.array(expected)).movedim(-1, 0)
        assert torch.equal(found, expected)
    assert parse_views(f"Wrapped({version}:RandomHorizontalFlip(p=1.0))", trust=True)(batch, drawn).equal(
        batch.flip(-1)
    )


def test_a_transform_that_writes_every_image_into_the_same_memory_gives_each_its_own() -> None:
    memory = torch.empty(3, 4, 4, dtype=torch.uint8)

    def mirror(image: Tensor) -> Tensor:
        return memory.copy_(image.flip(-1))

    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(Wrapped(mirror)(images, Draws(seed=0, ids=torch.arange(5), view=0)), images.flip(-1))


@pytest.mark.parametrize("mode", ["P", "HSV", "YCbCr"])
def test_an_image_of_pillow_in_other_colours_has_the_pixels_that_it_shows(mode: str) -> None:
    images = torch.randint(0, 256, (3, 3 if mode != "P" else 1, 4, 4), dtype=torch.uint8)

    def convert(image: Image.Image) -> Image.Image:
        return image.quantize(4) if mode == "P" else image.convert(mode)

    found = Wrapped(convert, takes="pillow")(images, Draws(seed=0, ids=torch.arange(3), view=0))
    for image, given in zip(found, images, strict=True):
        pixels = given.movedim(0, -1).numpy()
        shown = convert(Image.fromarray(pixels[..., 0] if mode == "P" else pixels)).convert(
            "L" if mode == "P" else "RGB"
        )
        assert np.array_equal(image.movedim(0, -1).squeeze(-1).numpy(), np.asarray(shown))
