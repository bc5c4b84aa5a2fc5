"""The operations of RandAugment against Pillow's, and how they are drawn."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from instar.data import RandAugment, parse_views
from instar.data.views import rand_augment
from instar.data.views.rand_augment import OPERATIONS
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws


def photographs(number: int, height: int = 24, width: int = 20) -> Tensor:
    """Smooth colour images, as a photograph is."""
    small = np.random.default_rng(0).integers(0, 256, (number, 5, 5, 3), dtype=np.uint8)
    large = [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in small]
    return torch.from_numpy(np.stack(large)).movedim(-1, 1).contiguous()


def as_pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image.movedim(0, -1).numpy())


def distances(operation, by_pillow, strength: float, inside: int = 0) -> Tensor:
    """Largest difference from Pillow for each image, without `inside` pixels at every edge."""
    batch = photographs(12)
    found = operation(batch, torch.full((12,), strength, dtype=torch.float64))
    expected = torch.stack([torch.from_numpy(np.array(by_pillow(as_pillow(one)))).movedim(-1, 0) for one in batch])
    difference = (found.int() - expected.int()).abs()
    return difference[..., inside : 24 - inside, inside : 20 - inside].flatten(1).amax(1)


@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.6])
@pytest.mark.parametrize(
    ("operation", "enhance"),
    [
        (rand_augment._brightness, ImageEnhance.Brightness),
        (rand_augment._colour, ImageEnhance.Color),
        (rand_augment._contrast, ImageEnhance.Contrast),
        (rand_augment._sharpness, ImageEnhance.Sharpness),
    ],
)
def test_enhancing_is_that_of_pillow(operation, enhance, strength: float) -> None:
    # Pillow drops what is behind the point, and its smoothed image is rounded otherwise
    assert distances(operation, lambda image: enhance(image).enhance(1 + 0.9 * strength), strength).max() <= 2


@pytest.mark.parametrize("strength", [-1.0, 0.5])
def test_posterize_and_solarize_are_those_of_pillow(strength: float) -> None:
    bits, threshold = 8 - round(4 * abs(strength)), 255 * (1 - abs(strength))
    assert distances(rand_augment._posterize, lambda image: ImageOps.posterize(image, bits), strength).max() == 0
    assert distances(rand_augment._solarize, lambda image: ImageOps.solarize(image, threshold), strength).max() == 0


def test_autocontrast_and_equalize_are_those_of_pillow() -> None:
    assert distances(rand_augment._autocontrast, ImageOps.autocontrast, 1.0).max() <= 1
    assert distances(rand_augment._equalize, ImageOps.equalize, 1.0).max() == 0


@pytest.mark.parametrize("strength", [-0.8, 0.5])
def test_shears_and_translations_are_those_of_pillow(strength: float) -> None:
    bilinear = Image.Resampling.BILINEAR

    def sheared(image: Image.Image) -> Image.Image:
        # Pillow's matrix maps corners, and the centre of the image stays
        factor = 0.3 * strength
        return image.transform(image.size, Image.Transform.AFFINE, (1, factor, -factor * 12, 0, 1, 0), bilinear)

    def moved(image: Image.Image) -> Image.Image:
        down = 24 * 150 / 331 * strength
        return image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, down), bilinear)

    assert distances(rand_augment._shear_x, sheared, strength, inside=4).max() <= 1
    # no corner of the image comes into these rows
    batch = photographs(4)
    found = rand_augment._translate_y(batch, torch.full((4,), strength))
    for image, result in zip(batch, found, strict=True):
        expected = torch.from_numpy(np.array(moved(as_pillow(image)))).movedim(-1, 0)
        rows = slice(11, 23) if strength < 0 else slice(1, 12)
        assert (expected[:, rows].int() - result[:, rows].int()).abs().max() <= 1


def test_images_without_any_change_stay() -> None:
    flat = torch.full((2, 3, 6, 6), 80, dtype=torch.uint8)
    for operation in (rand_augment._autocontrast, rand_augment._equalize, rand_augment._keep):
        assert torch.equal(operation(flat, torch.ones(2)), flat)
    tiny = torch.full((2, 3, 2, 2), 80, dtype=torch.uint8)
    assert torch.equal(rand_augment._sharpness(tiny, torch.ones(2)), tiny)


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_the_same_in_a_batch_of_any_size(channels: int) -> None:
    view, batch = RandAugment(3, 20), photographs(60)[:, :channels].contiguous()
    whole = view(batch, Draws(3, torch.arange(60), 2))
    for size in (1, 7):
        parts = [view(batch[i : i + size], Draws(3, torch.arange(60)[i : i + size], 2)) for i in range(0, 60, size)]
        assert torch.equal(whole, torch.cat(parts))
    assert torch.equal(batch, photographs(60)[:, :channels])
    assert not torch.equal(whole, view(batch, Draws(3, torch.arange(60), 3)))


def test_operations_are_equally_likely_and_drawn_anew() -> None:
    drawn = Draws(0, torch.arange(14_000), 0)
    first, second = (drawn.below(len(OPERATIONS), f"operation {number}") for number in (0, 1))
    assert len(OPERATIONS) == 14
    assert bool((first.bincount(minlength=14) - 1000).abs().max() < 150)
    assert 800 < (first == second).sum() < 1200


def test_what_cannot_be_augmented_is_refused() -> None:
    assert parse_views("RandAugment(1, 30)") == RandAugment(1, 30)
    with pytest.raises(ConfigError, match=r"RandAugment\(magnitude\) must be at most 30, got 31"):
        RandAugment(2, 31)
    with pytest.raises(MismatchError, match="view 'RandAugment' changes grey or RGB images"):
        RandAugment()(torch.zeros(1, 3, 4, 4), Draws(0, torch.arange(1), 0))
