"""Folders in the Hub layout: columns, images, splits. The cache and the real data sets have files of their own."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from instar.config import DataConfig
from instar.data import UNLABELLED, Source, load_data
from instar.data.hub import load_hub
from instar.errors import ConfigError, DataError

IMAGE, LABEL = datasets.Image(), datasets.ClassLabel(names=["cat", "dog"])
INTEGER = datasets.Value("int64")


def picture(mode: str = "L", height: int = 4, width: int = 5, seed: int = 0) -> Pictures.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Pictures.fromarray(pixels).convert(mode)


def write(folder: Path, split: str, features: dict[str, Any], **columns: list[Any]) -> None:
    """Write one split as Parquet, the way the Hub keeps it."""
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    folder.mkdir(exist_ok=True)
    rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def write_both(folder: Path, features: dict[str, Any], **columns: list[Any]) -> Path:
    write(folder, "train", features, **columns)
    write(folder, "test", features, **columns)
    return folder


def write_images(folder: Path, images: list[Pictures.Image | None]) -> Path:
    return write_both(folder, {"image": IMAGE, "label": LABEL}, image=images, label=[0] * len(images))


def load(folder: Path, *options: Any, **named: Any) -> tuple[Source, Source | None, Source]:
    names = ["input_column", "label_column", "image_size"]
    return load_hub(DataConfig(source=str(folder), **(dict(zip(names, options, strict=False)) | named)))


def refused(folder: Path, message: str, **named: Any) -> None:
    with pytest.raises(DataError, match=message):
        load(folder, **named)


def test_pixels_labels_and_class_names_are_those_of_the_files(tmp_path: Path) -> None:
    images = [picture(seed=seed) for seed in range(3)]
    write(tmp_path, "train", {"picture": IMAGE, "kind": LABEL}, picture=images, kind=[1, 0, None])
    write(tmp_path, "test", {"picture": IMAGE, "kind": LABEL}, picture=images[:1], kind=[0])
    train, validation, test = load(tmp_path)
    assert train.inputs.dtype == torch.uint8
    assert np.array_equal(train.inputs.numpy(), np.stack([np.asarray(image)[None] for image in images]))
    assert train.labels.tolist() == [1, 0, UNLABELLED]
    assert train.classes == test.classes == ("cat", "dog")
    assert (validation, len(test)) == (None, 1)


def test_colours_come_in_the_order_red_green_blue(tmp_path: Path) -> None:
    pure = Pictures.new("RGB", (5, 4), (255, 128, 1))
    train = load(write_images(tmp_path, [pure, picture("RGB")]))[0]
    assert train.inputs.shape == (2, 3, 4, 5)
    assert train.inputs[0, :, 0, 0].tolist() == [255, 128, 1]
    assert np.array_equal(train.inputs[1].numpy(), np.asarray(picture("RGB")).transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
def test_coloured_images_of_other_kinds_become_red_green_blue(tmp_path: Path, mode: str) -> None:
    image = picture(mode)
    if mode == "CMYK":  # which PNG cannot hold
        buffer = io.BytesIO()
        image.save(buffer, "TIFF")
        image = Pictures.open(buffer)
    train = load(write_images(tmp_path, [image]))[0]
    assert np.array_equal(train.inputs[0].numpy(), np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def test_labels_that_are_missing_in_every_row_are_told(tmp_path: Path) -> None:
    folder = write_both(
        tmp_path, {"image": IMAGE, "kind": datasets.Value("string")}, image=[picture()] * 2, kind=[None, None]
    )
    message = r"no row of '.*' has a label in column 'kind', so the classes are unknown\. Choose another column with"
    refused(folder, message, label_column="kind")
    assert load(folder, label_column="kind", classes=("cat", "dog"))[0].labels.tolist() == [UNLABELLED, UNLABELLED]


def test_lists_of_labels_are_refused_for_images(tmp_path: Path) -> None:
    kinds = datasets.List(datasets.Value("int64"))
    folder = write_both(tmp_path, {"image": IMAGE, "kinds": kinds}, image=[picture()] * 2, kinds=[[0, 1], [1, 0]])
    refused(folder, r"label column 'kinds' of '.*' contains lists; expected one label", label_column="kinds")


def test_images_have_the_mode_that_their_column_asks_for(tmp_path: Path, empty_cache: Path) -> None:
    image = picture("RGB")
    rows = datasets.Dataset.from_dict(
        {"image": [image] * 5, "label": [0] * 5}, features=datasets.Features(image=IMAGE, label=LABEL)
    )
    for mode, channels in ((None, 3), ("L", 1), ("RGB", 3)):
        found = load_data(rows.cast_column("image", datasets.Image(mode=mode)), validation=0).train
        assert found.input_shape[0] == channels
        assert np.array_equal(
            found.inputs()[0].numpy().squeeze(), np.asarray(image.convert(mode or "RGB")).T.swapaxes(-1, -2)
        )


def test_images_of_one_bit_are_black_and_white(tmp_path: Path) -> None:
    image = picture("1")
    train = load(write_images(tmp_path, [image]))[0]
    assert np.array_equal(train.inputs[0, 0].numpy(), np.where(np.asarray(image), 255, 0))
    assert set(train.inputs.unique().tolist()) == {0, 255}


def test_images_of_sixteen_bits_keep_their_upper_eight(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 65535], [300, 4096, 32768, 65280]], dtype=np.uint16)
    train = load(write_images(tmp_path, [Pictures.fromarray(deep)]))[0]
    assert train.inputs.dtype == torch.uint8
    assert train.inputs[0, 0].tolist() == [[0, 0, 1, 255], [1, 16, 128, 255]]


def test_images_of_floats_stay_as_they_are(tmp_path: Path) -> None:
    values = np.array([[-1.5, 0.25], [1000, 3e5]], dtype=np.float32)
    buffer = io.BytesIO()
    Pictures.fromarray(values).save(buffer, "TIFF")
    train = load(write_images(tmp_path, [Pictures.open(buffer)]))[0]
    assert train.inputs[0, 0].tolist() == values.tolist()


def test_images_of_several_sizes_get_one_size(tmp_path: Path) -> None:
    write_images(tmp_path, [picture(), picture(height=6)])
    assert load(tmp_path)[0].inputs.shape == (2, 1, 4, 4)
    assert load(tmp_path, image_size=(7, 3))[0].inputs.shape == (2, 1, 7, 3)


def test_image_size_resizes_smoothly(tmp_path: Path) -> None:
    board = Pictures.fromarray(np.tile(np.array([[0, 200], [200, 0]], dtype=np.uint8), (4, 4)))
    train = load(write_images(tmp_path, [board]), image_size=(4, 4))[0]
    assert (train.inputs.float() - 100).abs().max() < 50  # the mean of black and bright, apart from the edges


@pytest.mark.parametrize("modes", ["L RGB", "RGB L", "1 L RGBA", "RGB RGB L"])
def test_grey_images_among_coloured_ones_become_red_green_blue(tmp_path: Path, modes: str) -> None:
    images = [picture(mode, seed=seed) for seed, mode in enumerate(modes.split())]
    found = load(write_images(tmp_path, images))[0].inputs
    assert np.array_equal(
        found.numpy(), np.stack([np.asarray(one.convert("RGB")).transpose(2, 0, 1) for one in images])
    )


def test_grey_images_of_one_split_become_red_green_blue_where_another_has_colour(tmp_path: Path) -> None:
    for split, mode in (("train", "L"), ("test", "RGB")):
        write(tmp_path, split, {"image": IMAGE, "label": LABEL}, image=[picture(mode)], label=[0])
    train, _, test = load(tmp_path)
    assert train.inputs.shape == test.inputs.shape == (1, 3, 4, 5)
    assert np.array_equal(train.inputs[0, 1].numpy(), np.asarray(picture("L")))


def test_images_of_splits_that_differ_in_size_get_one_size(tmp_path: Path) -> None:
    for split, height in (("train", 4), ("test", 6)):
        write(tmp_path, split, {"image": IMAGE, "label": LABEL}, image=[picture(height=height)], label=[0])
    train, _, test = load(tmp_path)
    assert train.inputs.shape == test.inputs.shape == (1, 1, 4, 4)


def folder_of_images(folder: Path, kind: str, image: bytes) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            path = folder / split / name / f"0.{kind}"
            path.parent.mkdir(parents=True)
            picture("RGB").save(path)
    (folder / "test" / "dog" / f"0.{kind}").write_bytes(image)
    return folder


def test_a_truncated_image_is_named_by_row_and_file(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture("RGB", 64, 64).save(buffer, "JPEG")
    folder = folder_of_images(tmp_path, "jpg", buffer.getvalue()[:-300])
    refused(folder, r"\(test\)', row 1, file '.*test/dog/0\.jpg', cannot be decoded: image file is truncated")


def test_an_image_with_too_many_pixels_is_named_and_not_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(30000))) + chunk(b"IEND", b"")
    message = r"row 1, file '.*test/dog/0\.png', cannot be decoded: Image size \(900000000 pixels\) exceeds limit"
    refused(folder_of_images(tmp_path, "png", image), message)


def test_a_missing_image_is_told(tmp_path: Path) -> None:
    refused(
        write_images(tmp_path, [picture(), None]),
        r"2 images of column 'image' of '.*' cannot be decoded \(train, row 1: a value is missing; test, row 1: a ",
    )


def test_an_image_that_is_no_image_is_told(tmp_path: Path) -> None:
    images = [{"bytes": b"no picture", "path": None}]
    write_both(tmp_path, {"image": IMAGE, "label": LABEL}, image=images, label=[0])
    message = r"column 'image' of '.*' cannot be decoded \(train, row 0: it is not an image of a known format; test"
    refused(tmp_path, message)


def test_several_label_columns_need_a_name(tmp_path: Path) -> None:
    features = {"image": IMAGE, "fine": LABEL, "coarse": datasets.ClassLabel(names=["animal"])}
    write_both(tmp_path, features, image=[picture()], fine=[1], coarse=[0])
    refused(tmp_path, r"data '.*' has several possible label columns \(fine, coarse\); choose one with label_column\.")
    assert load(tmp_path, label_column="coarse")[0].classes == ("animal",)
    assert load(tmp_path, label_column="fine")[0].labels.tolist() == [1]
    refused(tmp_path, r"has no label column 'corse'; did you mean 'coarse'\?", label_column="corse")


def test_several_image_columns_need_a_name(tmp_path: Path) -> None:
    features = {"left": IMAGE, "right": IMAGE, "label": LABEL}
    write_both(tmp_path, features, left=[picture()], right=[picture(seed=1)], label=[0])
    refused(tmp_path, r"data '.*' has several possible input columns \(left, right\); choose one with input_column\.")
    found = load(tmp_path, input_column="right")[0].inputs[0, 0].numpy()
    assert np.array_equal(found, np.asarray(picture(seed=1)))


def test_columns_that_could_not_be_found_are_told_with_those_there_are(tmp_path: Path) -> None:
    write_both(tmp_path, {"image": IMAGE, "size": INTEGER}, image=[picture()], size=[3])
    message = r"has no column of class labels for the label; its columns are: image, size; choose one with label_c"
    refused(tmp_path, message)


def test_whole_numbers_named_by_the_user_are_labels_over_all_splits(tmp_path: Path) -> None:
    features = {"image": IMAGE, "digit": INTEGER}
    write(tmp_path, "train", features, image=[picture(), picture()], digit=[7, 2])
    write(tmp_path, "test", features, image=[picture()], digit=[7])
    train, _, test = load(tmp_path, label_column="digit")
    assert train.classes == test.classes == ("2", "7")
    assert (train.labels.tolist(), test.labels.tolist()) == ([1, 0], [1])


@pytest.mark.parametrize(
    ("kind", "values", "labels", "classes"),
    [
        ("string", ["cow", "ant", None, "cow"], [1, 0, -1, 1], ("ant", "cow")),
        ("large_string", ["10", "9", "10", "9"], [0, 1, 0, 1], ("10", "9")),
        ("int8", [1, 3, None, 2], [0, 2, -1, 1], ("1", "2", "3")),
        ("int64", [-1, 1, 1, -1], [0, 1, 1, 0], ("-1", "1")),
        ("float64", [1.0, None, 2.0, float("nan")], [0, -1, 1, -1], ("1", "2")),  # what empty cells make of numbers
        ("bool", [True, False, None, True], [1, 0, -1, 1], ("False", "True")),
    ],
)
def test_any_column_of_labels_may_be_named(
    tmp_path: Path, kind: str, values: list[Any], labels: list[int], classes: tuple[str, ...]
) -> None:
    features = {"image": IMAGE, "kind": datasets.Value(kind)}
    write_both(tmp_path, features, image=[picture()] * 4, kind=values)
    refused(tmp_path, r"its columns are: image, kind; choose one with label_column\.$")
    train = load(tmp_path, label_column="kind")[0]
    assert (train.labels.tolist(), train.classes) == (labels, classes)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("float64", [0.5, 1.0], r"sample 0 of '.* \(train\)' has the label 0\.5\. Set data.labels=numbers if they"),
        ("string", ["cat", ""], r"the label '' \(sample 1 of '.* \(train\)'\) may be a class or mark a missing label"),
    ],
)
def test_labels_with_several_readings_are_refused(tmp_path: Path, kind: str, values: list[Any], message: str) -> None:
    write_both(tmp_path, {"image": IMAGE, "kind": datasets.Value(kind)}, image=[picture()] * 2, kind=values)
    refused(tmp_path, message, label_column="kind")


def test_labels_that_the_training_split_lacks_are_refused_with_both_lists(tmp_path: Path) -> None:
    features = {"image": IMAGE, "kind": datasets.Value("string")}
    write(tmp_path, "train", features, image=[picture()] * 2, kind=["cat", "dog"])
    write(tmp_path, "test", features, image=[picture()] * 2, kind=["cat", "Hund"])
    message = r"classes of the training split of '.*' \(cat, dog\), found Hund in split test \(Hund, cat\)"
    refused(tmp_path, message, label_column="kind")
    named = load(tmp_path, label_column="kind", classes=("cat", "dog", "Hund"))
    assert named[2].labels.tolist() == [0, 2]


def test_folders_of_other_classes_are_refused_with_both_lists(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "test/cat", "test/Katze"):
        (tmp_path / name).mkdir(parents=True)
        picture().save(tmp_path / name / "0.png")
    refused(tmp_path, r"classes of the training split of '.*' \(cat, dog\), found Katze in split test \(Katze, cat\)")


@pytest.mark.parametrize("feature", ["binary", "large_binary", "struct"])
def test_bytes_of_images_without_a_type_are_images(tmp_path: Path, feature: str) -> None:
    buffer = io.BytesIO()
    picture("RGB").save(buffer, "PNG")
    struct_of = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    content = {"bytes": buffer.getvalue(), "path": None} if feature == "struct" else buffer.getvalue()
    features = {
        "photo": struct_of if feature == "struct" else datasets.Value(feature),
        "kind": datasets.Value("string"),
    }
    write_both(tmp_path, features, photo=[content] * 2, kind=["cat", "dog"])
    refused(tmp_path, r"no column of class labels for the label; its columns are: photo, kind; choose one with")
    train = load(tmp_path, label_column="kind")[0]
    assert np.array_equal(train.inputs[1].numpy(), np.asarray(picture("RGB")).transpose(2, 0, 1))
    assert (train.classes, train.labels.tolist()) == (("cat", "dog"), [0, 1])


def test_lists_of_numbers_are_inputs_and_words_are_not(tmp_path: Path) -> None:
    features = {"row": datasets.List(datasets.Value("float64")), "word": datasets.Value("string"), "label": LABEL}
    write_both(tmp_path, features, row=[[0.5, 1.5], [2.5, 3.5]], word=["a", "b"], label=[0, 1])
    train = load(tmp_path, input_column="row")[0]
    assert (train.inputs.dtype, train.inputs.tolist()) == (torch.float32, [[0.5, 1.5], [2.5, 3.5]])
    refused(
        tmp_path,
        r"has no column of images or recordings for the input; its columns are: row, word, label; choose one",
    )
    assert load(tmp_path, input_column="word")[0].texts("text").strings() == ["a", "b"]  # texts, if they are chosen


def test_a_validation_split_is_taken_and_stands_in_for_a_missing_test(tmp_path: Path) -> None:
    features = {"image": IMAGE, "label": LABEL}
    for number, split in enumerate(("train", "validation"), start=1):
        write(tmp_path, split, features, image=[picture()] * number, label=[0] * number)
    assert [source and len(source) for source in load(tmp_path)] == [1, None, 2]
    write(tmp_path, "test", features, image=[picture()] * 3, label=[0] * 3)
    assert [source and len(source) for source in load(tmp_path)] == [1, 2, 3]


def test_a_missing_split_is_told(tmp_path: Path) -> None:
    write(tmp_path, "train", {"image": IMAGE, "label": LABEL}, image=[picture()], label=[0])
    refused(tmp_path, r"data '.*' needs the splits train and test; found: train\.")


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    write_images(tmp_path, [picture()])
    path = tmp_path / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    refused(tmp_path, r"^data '.*' cannot be loaded: .+\.$")


def test_letters_that_are_no_utf8_are_told(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.txt").write_bytes("naïve".encode("latin-1"))
    refused(tmp_path, r"cannot be loaded: 'utf-8' codec can't decode byte 0xef in position 2")


@pytest.mark.parametrize("name", ["text", "csv", "imagefolder"])
def test_a_folder_may_be_called_as_the_library_calls_a_reader(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_both(tmp_path / name, {"image": IMAGE, "label": LABEL}, image=[picture()], label=[0])
    (tmp_path / "train.txt").write_text("what lies beside the folder")
    monkeypatch.chdir(tmp_path)
    train, _, _ = load(Path(name), validation=0)
    assert train.inputs.shape == (1, 1, 4, 5)


def test_a_missing_or_empty_folder_is_told(tmp_path: Path) -> None:
    refused(tmp_path, r"the data folder '.*' is empty; expected parquet, CSV, JSON or image files\.")
    refused(tmp_path / "none", r"'.*none' is not a folder or a Hub id \(owner/name\); ")
    with pytest.raises(DataError, match=r"'digit' is not a folder or a Hub id .*; did you mean 'digits'\?"):
        load_hub(DataConfig(source="digit"))


def test_a_hub_id_that_cannot_be_reached_is_told() -> None:
    with pytest.raises(DataError, match=r"^data 'nobody/nothing' cannot be loaded: .+\.$"):
        load_hub(DataConfig(source="nobody/nothing"))


def shades(source: Source) -> list[int]:
    return source.inputs[:, 0, 0, 0].tolist()


def write_shades(folder: Path, splits: dict[str, dict[int, Any]], feature: Any) -> None:
    """Write pictures of one shade each, with a value beside each of them."""
    features = {"image": IMAGE, "label": LABEL, "drawer": feature}
    for split, rows in splits.items():
        images = [Pictures.new("L", (2, 2), shade) for shade in rows]
        write(folder, split, features, image=images, label=[0] * len(rows), drawer=list(rows.values()))


@pytest.mark.parametrize("feature", [datasets.Value("string"), datasets.ClassLabel(names=["ada", "bob", "eve"])])
def test_rows_with_a_value_are_held_out_of_all_splits(tmp_path: Path, feature: Any) -> None:
    splits = {
        "train": {1: "ada", 2: "bob", 3: "ada", 4: None},
        "validation": {5: "bob", 6: "eve"},
        "test": {7: "bob", 8: "ada"},
    }
    write_shades(tmp_path, splits, feature)
    train, validation, test = load(tmp_path, label_column="label", test_where="drawer=bob")
    assert (shades(train), validation and shades(validation), shades(test)) == ([1, 3, 4], [6], [2, 5, 7])
    data = load_data(tmp_path, label_column="label", test_where="drawer=bob")
    assert data.test.source.fingerprint() == test.fingerprint()
    assert load_data(data.config).fingerprints() == data.fingerprints()


def test_rows_are_held_out_by_numbers_too_and_beside_a_validation_split_alone(tmp_path: Path) -> None:
    write_shades(tmp_path, {"train": {1: 7, 2: 8}, "validation": {3: 7, 4: 9}}, INTEGER)
    train, validation, test = load(tmp_path, test_where="drawer=7")
    assert (shades(train), validation and shades(validation), shades(test)) == ([2], [4], [1, 3])


def test_every_value_has_a_copy_of_its_own(tmp_path: Path, empty_cache: Path) -> None:
    write_shades(tmp_path / "data", {"train": {1: 7, 2: 8}, "test": {3: 7, 4: 9}}, INTEGER)
    for value, copies in ((7, 1), (7, 1), (8, 2)):
        load(tmp_path / "data", test_where=f"drawer={value}")
        assert len(list(empty_cache.iterdir())) == copies


def test_what_cannot_be_held_out_is_told(tmp_path: Path) -> None:
    write_shades(tmp_path, {"train": {1: "ada"}, "test": {3: "ada", 4: "bob"}}, datasets.Value("string"))
    refused(tmp_path, r"data '.*' has no column 'drawr'; did you mean 'drawer'\?", test_where="drawr=ada")
    refused(tmp_path, r"no row of '.*' has drawer 'adda'; did you mean 'ada'\?", test_where="drawer=adda")
    refused(
        tmp_path, r"all training rows of '.*' have drawer 'ada', so no row is left to train on", test_where="drawer=ada"
    )


@pytest.mark.parametrize("where", ["drawer", "=ada", "drawer="])
def test_a_condition_that_is_none_is_told(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigError, match=f"test_where must have the form column=value, got '{where}'"):
        load_data(tmp_path, test_where=where)


def test_a_value_of_data_without_columns_is_told(tmp_path: Path) -> None:
    for spec, name in (("digits", "digits"), ((np.zeros((4, 2)), [0, 1, 0, 1]), "arrays")):
        with pytest.raises(
            ConfigError, match=f"'test_where' needs data with columns, but the source '{name}' has none"
        ):
            load_data(spec, test_where="drawer=ada")
