"""Views as functions of seed, id and view: what they draw, how they are written, and what they refuse."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from instar.data import Crop, Flip, Identity, Shift, View, parse_views
from instar.data.views import window
from instar.errors import ConfigError, MismatchError
from instar.seeds import Draws

few = settings(deadline=None, derandomize=True, max_examples=25)
VIEWS = [Identity(), Shift(2), Crop(3), Crop(2, "zero"), Flip(), Crop(4) + Flip(), Shift(1) + Flip()]
AUGMENTING = VIEWS[1:]


@pytest.fixture(scope="module", params=["together", "one by one"])
def copying(request: pytest.FixtureRequest) -> Iterator[None]:
    """Windows and mirrored images are copied one by one if they are large, and together if they are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "MIN_SINGLE_BYTES", 0 if request.param == "one by one" else 1 << 60)
        yield


def images(number: int, channels: int = 1, height: int = 6, width: int = 7, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Images without a zero and without two equal pixels in one row or column, so that each window is unique."""
    pixels = torch.arange(number * channels * height * width) % 251 + 1
    return pixels.reshape(number, channels, height, width).to(dtype)


def draws(ids: list[int] | range, seed: int = 0, view: int = 0) -> Draws:
    return Draws(seed, torch.tensor(list(ids)), view)


def windows(image: np.ndarray, padding: int, mode: str) -> list[np.ndarray]:
    """All windows of the old size in an image that NumPy has padded, row by row."""
    height, width = image.shape[1:]
    keywords = {"mode": "reflect"} if mode == "reflect" else {"mode": "constant", "constant_values": 0}
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), **keywords)
    places = range(2 * padding + 1)
    return [padded[:, row : row + height, column : column + width] for row in places for column in places]


def place(taken: Tensor, candidates: list[np.ndarray]) -> int:
    """Which of the candidates a window is; exactly one must be."""
    found = [index for index, candidate in enumerate(candidates) if np.array_equal(taken.numpy(), candidate)]
    assert len(found) == 1
    return found[0]


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("view", VIEWS, ids=str)
@few
@given(
    ids=st.lists(st.integers(0, 10_000), min_size=1, max_size=12),
    number=st.integers(0, 50),
    seed=st.integers(0, 2**31),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([torch.uint8, torch.float32]),
)
def test_a_view_of_a_batch_is_the_views_of_its_rows(
    view: View, ids: list[int], number: int, seed: int, channels: int, dtype: torch.dtype
) -> None:
    batch = images(len(ids), channels, dtype=dtype)
    before = batch.clone()
    whole = view(batch, draws(ids, seed, number))
    rows = [view(batch[i : i + 1], draws([ids[i]], seed, number)) for i in range(len(ids))]
    assert torch.equal(whole, torch.cat(rows))
    assert whole.shape == batch.shape
    assert whole.dtype == batch.dtype
    assert torch.equal(batch, before)


@pytest.mark.parametrize(
    ("view", "padding", "mode"), [(Shift(2), 2, "zero"), (Crop(3), 3, "reflect"), (Crop(2, "zero"), 2, "zero")], ids=str
)
def test_every_window_of_the_padded_image_is_reached_equally_often(view: View, padding: int, mode: str) -> None:
    image = images(1, channels=2)
    number = 4000
    found = view(image.expand(number, -1, -1, -1), draws(range(number)))
    candidates = windows(image[0].numpy(), padding, mode)
    counts = np.bincount([place(taken, candidates) for taken in found], minlength=len(candidates))
    expected = number / len(candidates)
    assert len(counts) == (2 * padding + 1) ** 2
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.usefixtures("copying")
@few
@given(st.integers(2, 9), st.integers(2, 9), st.data())
def test_crop_reflects_like_numpy_at_every_size(height: int, width: int, data: st.DataObject) -> None:
    padding = data.draw(st.integers(1, min(height, width) - 1))
    image = images(1, height=height, width=width)
    taken = Crop(padding)(image, draws([data.draw(st.integers(0, 1000))]))[0].numpy()
    assert any(np.array_equal(taken, candidate) for candidate in windows(image[0].numpy(), padding, "reflect"))


@pytest.mark.usefixtures("copying")
def test_shift_may_be_wider_than_the_image() -> None:
    found = Shift(9)(images(500), draws(range(500)))
    gone = (found == 0).flatten(1).all(1)
    assert 0 < gone.sum() < 500


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("shape", [(40, 3, 8, 8), (40, 1, 5, 7), (1, 2, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crop_and_flip_equal_a_loop_over_images_and_pixels(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    # a slice of a larger tensor, whose memory is neither contiguous nor aligned
    batch = images(shape[0], shape[1], shape[2] + 1, shape[3] + 1, dtype)[..., 1:, 1:]
    drawn = draws(range(shape[0]))
    cropped, flipped = Crop(2)(batch, drawn), Flip()(batch, drawn)
    tops, lefts, mirrored = drawn.below(5, "row"), drawn.below(5, "column"), drawn.below(2, "flip")
    for i, image in enumerate(batch.numpy()):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="reflect")
        top, left = int(tops[i]), int(lefts[i])
        assert np.array_equal(cropped[i].numpy(), padded[:, top : top + shape[2], left : left + shape[3]])
        assert np.array_equal(flipped[i].numpy(), image[..., ::-1] if mirrored[i] else image)


def test_flip_mirrors_about_half_of_the_images() -> None:
    batch = images(1).expand(2000, -1, -1, -1)
    found = Flip()(batch, draws(range(2000)))
    mirrored = (found == batch.flip(-1)).flatten(1).all(1)
    kept = (found == batch).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert 900 < mirrored.sum() < 1100


@pytest.mark.parametrize("view", AUGMENTING, ids=str)
def test_seed_view_and_id_each_change_what_is_drawn(view: View) -> None:
    batch = images(1).expand(64, -1, -1, -1)
    base = view(batch, draws(range(64)))
    assert not torch.equal(base, view(batch, draws(range(64), view=1)))
    assert not torch.equal(base, view(batch, draws(range(64), seed=1)))
    assert not torch.equal(base, view(batch, draws(range(64, 128))))


def test_identity_changes_nothing() -> None:
    assert torch.equal(Identity()(images(3), draws(range(3))), images(3))


def test_identity_takes_inputs_of_any_shape() -> None:
    assert Identity()(torch.zeros(2, 5), draws(range(2))).shape == (2, 5)


def test_a_chain_applies_its_parts_from_left_to_right() -> None:
    # the draws of the first part are the batch's own; a deterministic second part shows the order
    @dataclass(frozen=True)
    class LeftColumnWhite(View):
        def __call__(self, inputs: torch.Tensor, draws: Draws) -> torch.Tensor:
            white = inputs.clone()
            white[..., 0] = 255
            return white

    batch, drawn = images(200), draws(range(200))
    assert torch.equal((Flip() + LeftColumnWhite())(batch, drawn), LeftColumnWhite()(Flip()(batch, drawn), drawn))
    assert not torch.equal((LeftColumnWhite() + Flip())(batch, drawn)[..., 0], torch.full_like(batch[..., 0], 255))


def test_the_parts_of_a_chain_draw_on_their_own() -> None:
    batch, drawn = images(400), draws(range(400))
    once, twice = Flip()(batch, drawn), (Flip() + Flip())(batch, drawn)
    flipped = (once != batch).flatten(1).any(1)
    back = (twice == batch).flatten(1).all(1)
    # whether the second part flips does not depend on whether the first did
    assert 0.35 < (~back)[flipped].float().mean() < 0.65
    assert 0.35 < (~back)[~flipped].float().mean() < 0.65


def test_chains_are_flat() -> None:
    parts = (Shift(2), Flip(), Crop(1))
    assert ((parts[0] + parts[1]) + parts[2]).parts == (parts[0] + (parts[1] + parts[2])).parts == parts


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_the_text_of_a_view_reads_back_as_the_view(view: View) -> None:
    assert parse_views(str(view)) == view


@pytest.mark.parametrize("view", [Shift(1), Crop(1), Crop(1, "zero"), Flip()], ids=str)
@pytest.mark.parametrize("shape", [(4,), (4, 6), (4, 6, 6), (1, 1, 1, 6, 6)])
def test_inputs_that_are_no_images_are_refused(view: View, shape: tuple[int, ...]) -> None:
    message = rf"view '{type(view).__name__}' needs images \[batch, channels, height, width\], got inputs of shape \["
    with pytest.raises(MismatchError, match=message):
        view(torch.zeros(shape), draws(range(shape[0])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Shift(0)", r"Shift\(pixels\) must be a whole number of at least 1, got 0\."),
        ("Shift(1.5)", r"Shift\(pixels\) must be a whole number of at least 1, got 1\.5\."),
        ("Crop(-1)", r"Crop\(padding\) must be a whole number of at least 1, got -1\."),
        ("Crop('4')", r"Crop\(padding\) must be a whole number of at least 1, got '4'\."),
        ("Crop(4, 'mirror')", r"Crop\(mode\) must be 'reflect' or 'zero', got 'mirror'\."),
        ("Flop()", r"view 'Flop' is unknown; did you mean 'Flip'\?"),
        ("2 * Flip()", r"view '2 \* Flip\(\)' cannot be made: '2 \* Flip\(\)' has no meaning\."),
        ("Flip(1)", r"view 'Flip' cannot be made: .* positional argument"),
    ],
)
def test_impossible_views_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_views(text)


def test_padding_as_large_as_the_image_cannot_be_reflected() -> None:
    with pytest.raises(ConfigError, match=r"Crop\(padding\) must be below the image size 6 to reflect, got 6\."):
        Crop(6)(images(1), draws([0]))


@pytest.mark.parametrize("view", [Shift(10**8), Crop(10**8), Crop(10**8, "zero"), Flip() + Shift(15), Shift(2**31 - 1)])
def test_a_view_larger_than_the_image_is_refused_before_memory_is_taken(view: View) -> None:
    with pytest.raises(ConfigError, match=r"of 6 x 7 pixels out of view"):
        view(images(2), draws(range(2)))
