"""Images of every mode and size become what Pillow makes of them."""

import io
import itertools
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from instar.config import DataConfig
from instar.data import load_data
from instar.data.image_form import ImageForm
from instar.data.images import pixels_of, size_of
from instar.errors import ConfigError, DataError

BILINEAR = Image.Resampling.BILINEAR
SIZES = [(9, 6), (6, 9), (7, 7), (30, 5), (1, 40), (6, 6)]  # (width, height)


def picture(mode: str = "RGB", size: tuple[int, int] = (9, 6), seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels, "RGBA" if mode in ("RGBA", "LA") else None).convert(mode)


def write(folder: Path, images: list[Any], splits: tuple[str, ...] = ("train", "test")) -> Path:
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"]))
    rows = datasets.Dataset.from_dict(
        {"image": images, "label": [n % 2 for n in range(len(images))]}, features=features
    )
    folder.mkdir(exist_ok=True)
    for split in splits:
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def cropped(image: Image.Image, side: int) -> Image.Image:
    """Shorter side, then centre, as it is written down in docs/images.md."""
    wide, tall = (side * length // min(image.size) for length in image.size)
    left, top = (wide - side) // 2, (tall - side) // 2
    return image.resize((wide, tall), BILINEAR).crop((left, top, left + side, top + side))


def boxed(image: Image.Image, side: int) -> Image.Image:
    """Longer side, then centre on black."""
    wide, tall = (max(1, round(length * side / max(image.size))) for length in image.size)
    found = Image.new(image.mode, (side, side))
    found.paste(image.resize((wide, tall), BILINEAR), ((side - wide) // 2, (side - tall) // 2))
    return found


def channels_first(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]


@pytest.mark.parametrize(("mode", "size"), list(itertools.product(["RGB", "L", "I;16"], SIZES)))
def test_each_way_of_resizing_is_that_of_pillow(mode: str, size: tuple[int, int]) -> None:
    image = picture(mode, size)
    expected = {
        "crop": cropped(image, 6),
        "squash": image.resize((6, 6), BILINEAR),
        "letterbox": boxed(image, 6),
    }
    for resize, wanted in expected.items():
        right = channels_first(wanted) if mode != "I;16" else (channels_first(wanted) // 256).astype(np.uint8)
        assert np.array_equal(pixels_of(image, ImageForm((6, 6), resize)), right)


def test_a_number_crops_and_a_pair_squashes_unless_told(tmp_path: Path) -> None:
    images = [picture(size=size, seed=seed) for seed, size in enumerate(SIZES)]
    folder = write(tmp_path, images)
    crop, squash = [cropped(one, 4) for one in images], [one.resize((4, 4), BILINEAR) for one in images]
    for settings, expected in (
        ({"image_size": 4}, crop),
        ({"image_size": (4, 4)}, squash),
        ({"image_size": 4, "resize": "squash"}, squash),
        ({"image_size": (4, 4), "resize": "crop"}, crop),
        ({"image_size": 4, "resize": "letterbox"}, [boxed(one, 4) for one in images]),
    ):
        found = load_data(DataConfig(source=str(folder), validation=0, **settings)).train
        assert np.array_equal(found.inputs().numpy(), np.stack([channels_first(one) for one in expected]))


def test_images_of_several_sizes_get_the_smallest_shorter_side(tmp_path: Path) -> None:
    images = [picture(size=size) for size in ((9, 7), (20, 30), (8, 8))]
    data = load_data(write(tmp_path, images), validation=0)
    assert np.array_equal(data.train.inputs().numpy(), np.stack([channels_first(cropped(one, 7)) for one in images]))
    assert ", of several sizes, so resized to 7 x 7 (crop)" in data.describe()
    again = load_data(data.config)  # as every verb reads the data of a run again
    assert (data.config.image_size, again.fingerprints()) == (7, data.fingerprints())


def test_images_of_several_sizes_are_at_most_224_pixels(tmp_path: Path) -> None:
    data = load_data(write(tmp_path, [Image.new("L", (300, 301)), Image.new("L", (302, 300))]), validation=0)
    assert (data.train.input_shape, data.config.image_size) == ((1, 224, 224), 224)


def test_the_size_is_chosen_from_all_splits_and_with_images_held_out(tmp_path: Path) -> None:
    write(tmp_path, [picture(size=(9, 8))] * 2, splits=("train",))
    write(tmp_path, [picture(size=(5, 6))] * 2, splits=("test",))
    data = load_data(tmp_path, test_where="label=dog", validation=0)
    assert (data.train.input_shape, len(data.test)) == ((3, 5, 5), 2)
    assert load_data(data.config).fingerprints() == data.fingerprints()


def test_transparent_pixels_are_white() -> None:
    clear = Image.new("RGBA", (2, 2), (10, 200, 30, 0))
    half = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    palette = Image.new("P", (2, 2), 3)
    palette.info["transparency"] = 3
    assert set(pixels_of(clear).ravel()) == set(pixels_of(palette).ravel()) == {255}
    assert set(pixels_of(half).ravel()) == {127}
    solid = picture("RGB").convert("RGBA")
    assert np.array_equal(pixels_of(solid), channels_first(solid.convert("RGB")))
    grey = Image.new("L", (2, 2), 7)
    grey.info["transparency"] = 7
    assert pixels_of(grey).tolist() == [[[255, 255], [255, 255]]]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA", "I;16"])
def test_channels_make_all_images_grey_or_rgb(tmp_path: Path, mode: str) -> None:
    image = picture(mode) if mode == "I;16" else picture("RGB").convert(mode)  # opaque
    eight = image if mode != "I;16" else Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    for channels, wanted in ((1, "L"), (3, "RGB")):
        right = channels_first(eight.convert(wanted))
        assert np.array_equal(pixels_of(image, ImageForm(channels=channels)), right)


def test_a_rotated_image_is_upright_and_an_animated_one_its_first_frame(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        for split in ("train", "test"):
            (tmp_path / split / name).mkdir(parents=True)
            upright = picture(size=(9, 6), seed=number)
            exif = Image.Exif()
            exif[0x0112] = 6  # the camera was turned
            turned = upright.transpose(Image.Transpose.ROTATE_90)
            turned.save(tmp_path / split / name / "0.png", exif=exif)
            frames = [picture("RGB", seed=seed).convert("P") for seed in (number, 7)]
            frames[0].save(tmp_path / split / name / "1.gif", save_all=True, append_images=frames[1:])
    found = load_data(tmp_path, validation=0).train
    upright, first = (picture(size=(9, 6)), picture("RGB").convert("P").convert("RGB"))
    assert found.inputs()[0].tolist() == channels_first(upright).tolist()
    assert found.inputs()[1].tolist() == channels_first(first).tolist()


@pytest.fixture
def with_bad_files(tmp_path: Path) -> Path:
    for split, name in itertools.product(("train", "test"), ("cat", "dog")):
        (tmp_path / split / name).mkdir(parents=True)
        for number in range(3):
            picture(seed=number).save(tmp_path / split / name / f"{number}.png")
    (tmp_path / "train/dog/0.png").write_bytes(b"no image")
    (tmp_path / "test/cat/2.png").write_bytes((tmp_path / "test/cat/1.png").read_bytes()[:60])
    return tmp_path


def test_all_bad_images_are_listed_by_path(with_bad_files: Path) -> None:
    with pytest.raises(DataError) as refused:
        load_data(with_bad_files)
    assert "2 images of column 'image' of '" in str(refused.value)
    assert "(train, 'train/dog/0.png': it is not an image of a known format; test, 'test/cat/2.png': " in str(
        refused.value
    )
    assert "or set data.on_error=skip to leave them out." in str(refused.value)


def test_bad_images_can_be_left_out_and_are_counted_and_recorded(with_bad_files: Path) -> None:
    for _ in range(2):  # decoded, and read from the cache
        data = load_data(with_bad_files, on_error="skip", validation=0)
        assert (len(data.train), len(data.test)) == (5, 5)
        assert "without images that cannot be decoded (1 of train and 1 of test; listed in '" in data.describe()
    listed = data.describe().split("listed in '")[1].split("'")[0]
    assert "train/dog/0.png" in Path(listed).read_text()
    assert "test/cat/2.png" in Path(listed).read_text()
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
    pixels = [channels_first(picture(seed=seed)) for seed in (0, 1, 2, 1, 2)]
    assert np.array_equal(data.train.inputs().numpy(), np.stack(pixels))


def test_a_split_of_bad_images_alone_is_refused_with_their_paths(tmp_path: Path) -> None:
    bad = {"bytes": b"no image", "path": None}
    folder = write(tmp_path, [bad, bad])
    with pytest.raises(DataError, match=r"4 images .* cannot be decoded \(train, row 0: it is not .*; test, row 1"):
        load_data(folder, on_error="skip")


def test_images_of_32_bits_beside_others_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.ones((6, 9), dtype=np.float32)).save(buffer, "TIFF")
    folder = write(tmp_path, [picture("L"), {"bytes": buffer.getvalue(), "path": None}])
    with pytest.raises(DataError, match=r"images of 32 bits have no known range, so convert them"):
        load_data(folder)


def big_endian(image: Image.Image) -> Image.Image:
    return Image.frombytes("I;16B", image.size, np.asarray(image).astype(">u2").tobytes())


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
def test_the_order_of_bytes_in_16_bits_changes_no_pixel(resize: Any) -> None:
    image, form = picture("I;16", (9, 7)), ImageForm((4, 4), resize)
    assert np.array_equal(pixels_of(big_endian(image), form), pixels_of(image, form))


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_float_images_with_pixels_that_are_no_numbers_are_bad_images(odd: float, tmp_path: Path) -> None:
    pixels = np.ones((4, 4), dtype=np.float32)
    for number in range(6):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        pixels[0, 0] = odd if number == 3 else number
        Image.fromarray(pixels).save(tmp_path / "ab"[number % 2] / f"{number}.tiff")
    with pytest.raises(DataError, match=r"b/3\.tiff'.* cannot be decoded: it has pixels that are NaN or infinite"):
        load_data(tmp_path, validation=0, test=0.2)
    data = load_data(tmp_path, validation=0, test=0.2, on_error="skip")
    assert len(data.train) + len(data.test) == 5


def test_a_tiff_that_pillow_turns_by_itself_has_the_size_of_its_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(size=(9, 6)).save(tmp_path / "turned.tiff", exif=exif)
    assert size_of(tmp_path / "turned.tiff") == (6, 9)


def test_no_image_becomes_larger_than_pillow_decodes() -> None:
    with pytest.raises(ConfigError, match=r"data\.image_size must have at most 178,956,970 pixels, got 20,000 x"):
        ImageForm.of(DataConfig(source="a/b", image_size=20_000))
    narrow = Image.new("L", (1, 50_000))
    with pytest.raises(
        ValueError, match="it is too narrow: its 50,000 x 1 pixels would become 11,200,000 x 224 before"
    ):
        ImageForm((224, 224), "crop").fit(narrow)
    assert ImageForm((224, 224), "squash").fit(narrow).size == (224, 224)


def test_a_size_that_changes_nothing_is_refused() -> None:
    images, labels = np.zeros((8, 3, 6, 6), dtype=np.uint8), [0, 1] * 4
    for settings in ({"image_size": 3}, {"channels": 1}):
        with pytest.raises(
            ConfigError, match=r"is for images that are decoded, and the inputs of .* of shape \[3, 6, 6\]"
        ):
            load_data((images, labels), **settings)
    with pytest.raises(ConfigError, match="'image_size' is for images that are decoded"):
        load_data("digits", image_size=16)
    assert load_data((images, labels), image_size=6, channels=3).train.input_shape == (3, 6, 6)
