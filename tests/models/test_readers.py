"""Readers: what a model reads, apart from what the data hold and what its teacher reads."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import instar
import instar as package
from instar.compute.accelerator import make_accelerator
from instar.config import TrainingConfig
from instar.data import Loader, RandomResizedCrop, load_data
from instar.data.image_form import ImageForm
from instar.errors import ConfigError, MismatchError
from instar.models import MLP, Normalised
from instar.models.readers import AsIs, Pixels, parse_reader
from instar.objectives import parse_objective
from instar.runs.run import Run
from instar.seeds import Draws
from instar.teachers import Ensemble, Module
from instar.training import fit


@pytest.fixture
def pictures():
    """Two classes of noise, dark and bright, 24 x 16 pixels in colour."""
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 2
    pixels = draws.integers(0, 120, (60, 24, 16, 3)) + 100 * labels[:, None, None, None]
    return load_data((pixels.astype(np.uint8), labels), inputs="pixels", layout="HWC", validation=0)


@pytest.mark.parametrize("size", [(8, 8), (12, 16), (48, 32)])
@pytest.mark.parametrize("colours", [1, 3])
def test_squashed_pixels_are_those_of_pillow(size, colours):
    pixels = np.random.default_rng(1).integers(0, 256, (24, 16, colours), dtype=np.uint8)
    wanted = Image.fromarray(pixels.squeeze()).resize(size[::-1], Image.Resampling.BILINEAR)
    found = Pixels(size, resize="squash")(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    assert found.dtype == torch.uint8
    difference = found[0].permute(1, 2, 0).numpy().squeeze().astype(int) - np.asarray(wanted)
    assert abs(difference).max() <= 1  # Pillow rounds its weights to one bit more for some scales


@pytest.mark.parametrize("given", [(24, 17), (64, 64), (13, 200), (200, 13), (1, 5)])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
def test_with_the_arithmetic_of_pillow_every_pixel_is_that_of_pillow(given, resample):
    pixels = np.random.default_rng(4).integers(0, 256, (*given, 3), dtype=np.uint8)
    for height, width in ((32, 32), (12, 17), (50, 3), (1, 1)):
        wanted = Image.fromarray(pixels).resize((width, height), Image.Resampling[resample.upper()])
        reader = Pixels((height, width), resize="squash", resample=resample, arithmetic="pillow")
        found = reader(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        assert np.array_equal(found[0].permute(1, 2, 0).numpy(), np.asarray(wanted))
        assert parse_reader(str(reader)) == reader
    assert "arithmetic" not in str(Pixels(12))  # as in files of older versions
    floats = torch.rand(2, 1, *given)
    assert torch.equal(reader(floats), Pixels((1, 1), resize="squash", resample=resample)(floats))


def test_a_crop_keeps_the_middle_and_the_proportions():
    image = torch.zeros(1, 1, 30, 10)
    image[:, :, 10:20] = 1
    assert torch.equal(Pixels(10)(image), torch.ones(1, 1, 10, 10))
    assert torch.equal(Pixels(10)(image.mT), torch.ones(1, 1, 10, 10))


def test_a_letterbox_keeps_all_and_fills_with_zeros():
    found = Pixels((10, 20), resize="letterbox")(torch.ones(1, 1, 30, 15))
    assert found.shape == (1, 1, 10, 20)
    torch.testing.assert_close(found[..., 7:12], torch.ones(1, 1, 10, 5))
    assert not found[..., :7].any()
    assert not found[..., 12:].any()


def test_images_of_its_size_are_the_same_tensor():
    image = torch.zeros(2, 3, 8, 8)
    assert Pixels(8)(image) is image
    assert AsIs()(image) is image


def test_it_comes_back_from_its_text():
    for reader in (AsIs(), Pixels(8), Pixels((8, 9), [0.5], [0.25], "squash")):
        assert parse_reader(str(reader)) == reader


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Pixels(0)", "size"),
        ("Pixels([1, 2, 3])", "height, width"),
        ("Pixels(8, mean=[0.5])", "mean and std"),
        ("Pixels(8, mean=[0.5], std=[0])", "above 0"),
        ("Pixels(8, resize='stretch')", "resize"),
        ("Pixel(8)", "Pixels"),
        ("Pixels(8) + AsIs()", "no meaning"),
    ],
)
def test_a_mistake_is_named(text, named):
    with pytest.raises(ConfigError, match=named):
        parse_reader(text)


def test_rows_of_numbers_are_not_images():
    with pytest.raises(MismatchError, match="images"):
        Pixels(8).shape((64,))
    with pytest.raises(MismatchError, match="2 channels"):
        Pixels(8, [0, 0], [1, 1]).shape((3, 8, 8))


def test_a_student_reads_smaller_images_than_its_teacher(tmp_path, pictures):
    teacher = instar.train(pictures, MLP([8]), out=tmp_path / "teacher", epochs=2)
    student = instar.distill(pictures, teacher, MLP([8]), out=tmp_path / "student", epochs=2, reader="Pixels(4)")
    assert student.model.reader == Pixels(4)
    assert next(student.model.network.parameters()).shape == (8, 3 * 4 * 4)
    opened = Run(student.path)
    assert parse_reader(opened.config["reader"]) == Pixels(4)
    assert instar.evaluate(student.path, data=pictures)["errors"] == student.metrics["errors"]
    # by hand: its network alone, of images that were resized before
    inputs = Pixels(4)(pictures.test.inputs())
    by_hand = Normalised(student.model.network, student.model.mean, student.model.std).eval()
    assert torch.equal(by_hand(inputs), student.model(pictures.test.inputs()))


def test_inspect_shows_how_a_model_reads(tmp_path, pictures, instar):
    for reader, shown in ((Pixels(8), True), (AsIs(), False)):
        run = package.train(pictures, MLP([4]), out=tmp_path / str(shown), reader=reader, epochs=1)
        code, out, _ = instar("inspect", run.path)
        assert (code, "reader" in out, "Pixels(size=8" in out) == (0, shown, shown)


def test_a_run_is_another_run_with_another_reader(tmp_path, pictures):
    instar.train(pictures, MLP([8]), out=tmp_path / "run", epochs=1, reader="Pixels(4)")
    with pytest.raises(instar.InstarError, match="reader"):
        instar.train(pictures, MLP([8]), out=tmp_path / "run", epochs=1, reader="Pixels(5)")


def test_a_module_that_teaches_reads_as_its_reader_says(pictures):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    teacher = Module(network, reader="Pixels(8, mean=[0.5], std=[0.25])")
    batch = Loader(pictures.train, 5, seed=0).batch(0)
    wanted = network((Pixels(8)(batch.inputs) / 255 - 0.5) / 0.25)
    torch.testing.assert_close(teacher.targets(batch).log_probs(1.0), wanted.log_softmax(-1), rtol=1e-5, atol=1e-5)
    assert teacher.fingerprint() != Module(network, reader="Pixels(8, mean=[0.5], std=[0.5])").fingerprint()
    assert teacher.fingerprint() != Module(network, reader="Pixels(8, [0.5], [0.25], 'squash')").fingerprint()


def test_a_batch_is_read_once_by_readers_that_are_alike(pictures):
    batch = Loader(pictures.train, 5, seed=0).batch(0)
    assert batch.read(Pixels(8)) is batch.read(Pixels(8))
    assert batch.read(Pixels(8)) is not batch.read(Pixels(4))
    assert batch.read(AsIs()) is batch.inputs


@pytest.mark.parametrize(
    ("student", "teachers", "parts", "expected"),
    [
        ("Pixels(8)", ["Pixels(8)"], 1, 1),
        ("Pixels(4)", ["Pixels(8)"], 1, 2),
        ("Pixels(8)", ["Pixels(8)", "Pixels(8, mean=[0.5], std=[0.25])", "Pixels(8)"], 1, 1),
        ("Pixels(4)", ["Pixels(8)", "Pixels(8)"], 2, 4),
        ("AsIs()", ["AsIs()", "Pixels((24, 16))"], 1, 0),
    ],
)
def test_a_step_resizes_once_for_all_models_that_read_alike(
    tmp_path, pictures, monkeypatch, student, teachers, parts, expected
):
    resized = []
    once = Pixels._resized

    def count(reader, inputs, height, width):
        resized.append(reader)
        return once(reader, inputs, height, width)

    def network(text):
        reader = parse_reader(text)
        shape = reader.shape((3, 24, 16))
        return Normalised(MLP([4], input_shape=shape, num_classes=2), torch.zeros(1), torch.ones(1), reader)

    monkeypatch.setattr(Pixels, "_resized", count)
    config = TrainingConfig(epochs=2, batch_size=20, micro_batches=parts)
    run = Run.start(tmp_path / "run", config.model_dump(mode="json"), {})
    loader, accelerator = Loader(pictures.train, 20, seed=0), make_accelerator()
    taught = Ensemble([Module(network(text)) for text in teachers])
    fit(network(student), parse_objective("SoftTargets(2)"), loader, config, run, accelerator, teacher=taught)
    assert len(resized) == 2 * loader.steps_per_epoch * expected


@pytest.mark.parametrize("to", ["safetensors", "torchscript", "onnx", "hub"])
def test_an_export_begins_behind_the_reader_and_names_it(tmp_path, pictures, to):
    if to == "onnx":
        pytest.importorskip("onnxruntime", reason="needs the extra export")
    run = instar.train(pictures, MLP([8]), out=tmp_path / "run", epochs=1, reader="Pixels((6, 5))")
    written = instar.export(run, to, out=tmp_path / "exported", data=pictures)
    assert written.inputs == "uint8 [batch, 3, 6, 5]"
    if to in ("safetensors", "hub"):
        loaded, raw = instar.load(written.path), pictures.test.inputs()
        assert loaded.reader == Pixels((6, 5))
        assert torch.equal(loaded(raw), run.model(raw))
    if to == "hub":
        assert "other programs must resize them first" in (tmp_path / "exported" / "README.md").read_text()


@pytest.mark.parametrize("filter_name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (40, 41), (13, 13)])
def test_a_larger_shorter_side_is_what_transformers_and_torchvision_do(shape, filter_name):
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    # Resize(18) and CenterCrop(12): the longer side is rounded down, and so is the place of the crop
    short, long = min(shape), max(shape)
    longer = int(18 * long / short)
    height, width = (18, longer) if shape[0] <= shape[1] else (longer, 18)
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling[filter_name.upper()])
    top, left = (height - 12) // 2, (width - 12) // 2
    wanted = np.asarray(resized)[top : top + 12, left : left + 12].astype(int)
    reader = Pixels(12, shorter=18, resample=filter_name)
    raw = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    found = reader(raw)[0].permute(1, 2, 0).numpy().astype(int)
    assert abs(found - wanted).max() <= 1
    assert parse_reader(str(reader)) == reader


@pytest.mark.parametrize("margin", range(9))
def test_an_odd_margin_is_cut_as_torchvision_or_transformers_do(margin):
    raw = torch.arange(12 + margin, dtype=torch.uint8).expand(1, 1, 12, -1)  # pixels are their columns
    for odd_margin, left in (("down", margin // 2), ("even", round(margin / 2))):  # Python rounds a half to even too
        reader = Pixels(12, odd_margin=odd_margin)
        assert reader(raw)[0, 0, 0].tolist() == list(range(left, left + 12))
        assert parse_reader(str(reader)) == reader
    assert "odd_margin" not in str(Pixels(12))  # as in files of older versions


def test_pixels_on_an_accelerator_are_those_of_a_cpu(monkeypatch):
    raw = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (2, 3, 24, 18), dtype=np.uint8))
    for name in ("bilinear", "bicubic"):
        reader = Pixels((13, 30), resize="squash", resample=name)
        wanted = reader(raw)
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "device", torch.device("cuda"))  # as the branch asks; the arithmetic stays here
            found = reader(raw)
        assert (found.int() - wanted.int()).abs().max() <= 1
        assert found.dtype == torch.uint8


def test_what_a_reader_cannot_read_is_refused_for_a_teacher_too():
    labels = np.arange(8) % 2
    grey = load_data((np.zeros((8, 6, 6), np.uint8), labels), inputs="pixels", layout="HW", validation=0)
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    batch = Loader(grey.train, 4, seed=0).batch(0)
    with pytest.raises(MismatchError, match="3 channels, and the images have 1"):
        Module(network, reader=Pixels(6, [0, 0, 0], [1, 1, 1])).targets(batch)
    with pytest.raises(MismatchError, match="6 x 6 pixels already"):
        Module(network, reader=Pixels(6, shorter=8)).targets(batch)


def test_a_shorter_side_must_hold_the_crop():
    for wrong in ("Pixels(8, shorter=7)", "Pixels(8, shorter=9, resize='squash')", "Pixels((8, 12), shorter=10)"):
        with pytest.raises(ConfigError, match="shorter"):
            parse_reader(wrong)


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
def test_images_in_colour_become_as_small_as_one_pixel(size, resize):
    pixels = torch.randint(0, 256, (3, 3, 6, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = Pixels(size, resize=resize)(pixels)
    for image, small in zip(pixels, found, strict=True):
        wanted = ImageForm(size, resize).fit(Image.fromarray(image.permute(1, 2, 0).numpy()))
        assert (small.permute(1, 2, 0).int() - torch.from_numpy(np.array(wanted)).int()).abs().max() <= 1
    one = RandomResizedCrop(1)(pixels, Draws(seed=0, ids=torch.arange(3), view=0))
    assert one.shape == (3, 3, 1, 1)
