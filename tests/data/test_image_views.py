"""Views of images against Pillow and against loops by hand: crops that are resized, rotations, colours and erasing."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

import instar
from instar.data import ColorJitter, Erase, Flip, Loader, RandomResizedCrop, Rotate, View, load_data, parse_views
from instar.data.views.color_jitter import scale_brightness, scale_contrast, scale_saturation, turn_hue
from instar.data.views.random_resized_crop import _resize_by_weights, draw_boxes
from instar.data.views.rotate import rotation
from instar.data.views.warp import warp_images
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws

VIEWS = [
    RandomResizedCrop(),
    RandomResizedCrop(12),
    RandomResizedCrop((9, 14), (0.2, 0.5), (1, 2)),
    Rotate(30),
    ColorJitter(),
    ColorJitter(0.9, 0, 0, 0.5),
    Erase(),
    RandomResizedCrop(16) + Flip() + ColorJitter() + Erase(1.0),
]


def draws(ids: list[int] | range, seed: int = 0, view: int = 0) -> Draws:
    return Draws(seed, torch.tensor(list(ids)), view)


def photographs(number: int, height: int = 24, width: int = 20, channels: int = 3) -> Tensor:
    """Smooth colour images, as a photograph is."""
    small = np.random.default_rng(0).integers(0, 256, (number, 5, 5, channels), dtype=np.uint8)
    large = [
        np.asarray(Image.fromarray(one.squeeze()).resize((width, height), Image.Resampling.BICUBIC)) for one in small
    ]
    return torch.from_numpy(np.stack(large).reshape(number, height, width, channels)).movedim(-1, 1).contiguous()


def as_pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image.movedim(0, -1).numpy())


def pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).movedim(-1, 0)


def distance(first: Tensor, second: Tensor) -> int:
    return int((first.int() - second.int()).abs().max())


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_the_same_in_a_batch_of_any_size(view: View, channels: int) -> None:
    batch, ids = photographs(23, channels=channels), list(range(100, 123))
    whole = view(batch, draws(ids, seed=3, view=2))
    for size in (1, 7):
        parts = [view(batch[i : i + size], draws(ids[i : i + size], 3, 2)) for i in range(0, 23, size)]
        assert torch.equal(whole, torch.cat(parts))
    assert tuple(whole.shape[1:]) == view.shape(tuple(batch.shape[1:]))
    assert whole.dtype == torch.uint8
    assert not torch.equal(whole, view(batch, draws(ids, 3, 3)))
    assert not torch.equal(whole, view(batch, draws(ids, 4, 2)))
    assert torch.equal(batch, photographs(23, channels=channels))


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_the_text_of_a_view_reads_back_as_the_view(view: View) -> None:
    assert parse_views(str(view)) == view
    assert hash(parse_views(str(view))) == hash(view)


@pytest.mark.parametrize("size", [(16, 16), (40, 31)])
def test_a_resized_crop_is_that_of_pillow(size: tuple[int, int]) -> None:
    batch, drawn = photographs(40), draws(range(40))
    boxes = draw_boxes(24, 20, (0.08, 1.0), (0.75, 4 / 3), drawn)
    found = RandomResizedCrop(size)(batch, drawn)
    for image, (top, left, tall, wide), result in zip(batch, boxes.tolist(), found, strict=True):
        cropped = as_pillow(image).crop((left, top, left + wide, top + tall))
        assert distance(pixels(cropped.resize(size[::-1], Image.Resampling.BILINEAR)), result) <= 1


def test_an_accelerator_resizes_crops_as_a_cpu_does() -> None:
    batch, drawn = photographs(40), draws(range(40))
    boxes = draw_boxes(24, 20, (0.08, 1.0), (0.75, 4 / 3), drawn)
    assert distance(_resize_by_weights(batch, boxes, 16, 30), RandomResizedCrop((16, 30))(batch, drawn)) <= 1


def test_boxes_have_the_shares_and_ratios_that_were_asked_for() -> None:
    boxes = draw_boxes(200, 300, (0.1, 0.4), (0.5, 2.0), draws(range(4000)))
    top, left, tall, wide = boxes.double().unbind(1)
    share, ratio = tall * wide / 60_000, wide / tall
    # sides are rounded to whole pixels, half a pixel of a hundred
    assert bool((share > 0.098).all() & (share < 0.404).all() & (ratio > 0.49).all() & (ratio < 2.05).all())
    assert bool((top >= 0).all() & (left >= 0).all() & (top + tall <= 200).all() & (left + wide <= 300).all())
    assert abs(float(share.mean()) - 0.25) < 0.01  # a little less, because large and long boxes do not fit
    assert abs(float(ratio.log().mean())) < 0.03
    assert abs(float((top / (200 - tall).clamp(min=1)).mean()) - 0.5) < 0.02


def test_an_image_that_no_box_fits_into_is_cropped_at_its_centre() -> None:
    boxes = draw_boxes(10, 100, (1.0, 1.0), (0.75, 4 / 3), draws(range(3)))
    assert boxes.tolist() == [[0, 43, 10, 13]] * 3


def test_a_rotation_is_that_of_pillow_inside_the_image() -> None:
    batch, drawn = photographs(20, 41, 41), draws(range(20))
    angles = (2 * drawn.uniform("angle") - 1) * 60
    found = Rotate(60)(batch, drawn)
    y, x = torch.meshgrid(torch.arange(41) - 20, torch.arange(41) - 20, indexing="ij")
    inside = (x.square() + y.square()) < 19**2
    for image, angle, result in zip(batch, angles.tolist(), found, strict=True):
        expected = pixels(as_pillow(image).rotate(angle, Image.Resampling.BILINEAR))
        assert distance(expected[:, inside], result[:, inside]) <= 1


def test_a_half_turn_is_a_flip_of_both_axes_and_corners_are_filled_with_zeros() -> None:
    batch = photographs(2)
    half = warp_images(batch, rotation(torch.full((2,), torch.pi, dtype=torch.float64)))
    assert torch.equal(half, batch.flip(2, 3))
    eighth = warp_images(torch.full_like(batch, 255), rotation(torch.full((2,), torch.pi / 4, dtype=torch.float64)))
    assert bool((eighth[..., 0, 0] == 0).all() & (eighth[..., 12, 10] == 255).all())


@pytest.mark.parametrize(
    ("change", "enhance"),
    [
        (scale_brightness, ImageEnhance.Brightness),
        (scale_contrast, ImageEnhance.Contrast),
        (scale_saturation, ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
def test_a_change_of_colour_is_that_of_pillow(change, enhance, factor: float) -> None:
    batch = photographs(8)
    values = batch.float()
    change(values, torch.full((8,), factor))
    for image, result in zip(batch, values, strict=True):
        expected = pixels(enhance(as_pillow(image)).enhance(factor)).float()
        # Pillow drops what is behind the point, and rounds the grey
        assert float((expected - result).abs().max()) < 1.7


@pytest.mark.parametrize("turn", [-0.5, -0.13, 0.0, 0.21])
def test_a_turn_of_the_hue_is_that_of_a_loop_over_pixels(turn: float) -> None:
    batch = photographs(2, 7, 6)
    batch[0, :, 0] = torch.tensor([0, 90, 255], dtype=torch.uint8)[torch.randint(3, (3, 6))]
    batch[1, :, 0] = 77  # grey
    values = batch.float()
    turn_hue(values, torch.full((2,), turn))
    flat = batch.movedim(1, -1).reshape(-1, 3).tolist()
    expected = []
    for red, green, blue in flat:
        hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
        expected.append([255 * part for part in colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)])
    assert torch.allclose(values.movedim(1, -1).reshape(-1, 3), torch.tensor(expected), atol=1e-2)


def test_colours_change_in_their_order_and_are_rounded_once() -> None:
    batch, drawn = photographs(6), draws(range(6))
    found = ColorJitter(0.4, 0.4, 0.4, 0.1)(batch, drawn)
    shares = [drawn.uniform(name).float() for name in ("brightness", "contrast", "saturation", "hue")]
    values = batch.float()
    for change, share in zip((scale_brightness, scale_contrast, scale_saturation), shares, strict=False):
        change(values, 0.6 + share * 0.8)
    turn_hue(values, (2 * shares[3] - 1) * 0.1)
    assert distance(found, values.round().to(torch.uint8)) <= 1  # a half may be rounded either way
    assert torch.equal(ColorJitter(0, 0, 0, 0)(batch, drawn), batch)


def test_a_grey_image_has_the_brightness_of_its_colour_image() -> None:
    grey, drawn = photographs(6, channels=1), draws(range(6))
    both = [ColorJitter(0.5, 0.5, 0.5, 0.3)(one, drawn) for one in (grey, grey.expand(-1, 3, -1, -1))]
    assert distance(both[0].expand(-1, 3, -1, -1), both[1]) <= 1


def test_erase_clears_one_rectangle_of_its_share_of_the_images() -> None:
    batch, drawn = torch.full((2000, 1, 20, 30), 9, dtype=torch.uint8), draws(range(2000))
    found = Erase(0.3, scale=(0.1, 0.2), value=5)(batch, drawn)
    cleared = (found == 5)[:, 0]
    boxes = draw_boxes(20, 30, (0.1, 0.2), (0.3, 3.3), drawn)
    touched = cleared.flatten(1).any(1)
    assert 0.26 < touched.float().mean() < 0.34
    for at in touched.nonzero().flatten().tolist():
        top, left, tall, wide = boxes[at].tolist()
        expected = torch.zeros(20, 30, dtype=torch.bool)
        expected[top : top + tall, left : left + wide] = True
        assert torch.equal(cleared[at], expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RandomResizedCrop([1, 2, 3])", r"RandomResizedCrop\(size\) must be a number or \(height, width\)"),
        ("RandomResizedCrop(8, scale=[0.5, 0.1])", r"RandomResizedCrop\(scale\) must be two numbers"),
        ("RandomResizedCrop(8, ratio=[0, 1])", r"RandomResizedCrop\(ratio\) must be greater than 0"),
        ("Erase(1.5)", r"Erase\(probability\) must be at most 1, got 1\.5"),
        ("Erase(0.5, [0.1])", r"Erase\(scale\) must be two numbers"),
        ("Rotate(200)", r"Rotate\(degrees\) must be at most 180, got 200"),
        ("ColorJitter(hue=0.6)", r"ColorJitter\(hue\) must be at most 0\.5, got 0\.6"),
    ],
)
def test_impossible_views_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_views(text)


def test_colours_of_other_images_than_grey_and_rgb_are_refused() -> None:
    for batch in (torch.zeros(2, 4, 5, 5, dtype=torch.uint8), torch.zeros(2, 3, 5, 5)):
        with pytest.raises(MismatchError, match=r"ColorJitter' changes grey or RGB images with pixels 0\.\.255"):
            ColorJitter()(batch, draws(range(2)))


def test_a_view_of_another_size_trains_with_a_reader_of_that_size(tmp_path: Path) -> None:
    settings = {"views": "RandomResizedCrop(6, (0.5, 1))", "num_views": 2, "epochs": 1, "show": False}
    with pytest.raises(
        MismatchError, match=r"views give images of 6 x 6 pixels, and the student .* 8 x 8, as they are"
    ):
        instar.train("digits", instar.models.CNN([4]), out=tmp_path / "refused", **settings)
    teacher = instar.train("digits", instar.models.CNN([4]), out=tmp_path / "teacher", epochs=1, show=False)
    student = {"model": instar.models.MLP([8]), "reader": "Pixels(6)", **settings}
    with pytest.raises(MismatchError, match=r"and the teacher reads .* such as Pixels\(\[8, 8\]\)"):
        instar.distill("digits", teacher, out=tmp_path / "other", **student)
    small = instar.train(
        "digits", instar.models.MLP([8]), out=tmp_path / "small", reader="Pixels(6)", epochs=1, show=False
    )
    exact = {"online": None, "store": {"store.dtype": "float32"}}
    runs = [
        instar.distill("digits", small, out=tmp_path / targets, targets=targets, settings=exact[targets], **student)
        for targets in ("online", "store")
    ]
    assert runs[0].metrics["error"] == runs[1].metrics["error"]
    weights = [run.model.state_dict() for run in runs]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])
    shown = Loader(load_data("digits").train, 8, seed=0, views=parse_views(settings["views"])).batch(0).inputs
    assert shown.shape == (8, 1, 6, 6)
