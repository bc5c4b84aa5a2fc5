"""Hugging Face data sets, from the Hub or from a local folder in the same layout, decoded once to a compact cache."""

from __future__ import annotations

import hashlib
import json
import operator
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.data.samples import UNLABELLED, Source
from instar.errors import DataError, nearest
from instar.run import explain_full_disk

if TYPE_CHECKING:
    import datasets

IN_MEMORY = 2 << 30
"""Decoded inputs up to this many bytes are read into memory; larger ones are mapped."""

_VERSION = 2  # of the cache's layout, and of how images become arrays

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # Pillow's grey modes of more than 8 bits


def cache_folder() -> Path:
    """Return where decoded data are kept: $INSTAR_CACHE, or ~/.cache/instar."""
    return Path(os.environ.get("INSTAR_CACHE") or Path.home() / ".cache" / "instar")


def load_hub(
    name: str, input_column: str | None, label_column: str | None, image_size: tuple[int, int] | None
) -> tuple[Source, Source | None, Source]:
    """Return (train, validation or none, test) of a Hub id or a local folder.

    Columns are found by their feature types: the one image column, the one column of class labels. The test split is
    `test`, or `validation` where there is no other. Decoded once to one array per split in the cache.

    Args:
        name: `ylecun/mnist`, or a folder of parquet, JSON, CSV or image files as `datasets.load_dataset` reads them.
        input_column: column of the inputs, where there are several candidates.
        label_column: column of the labels, where there are several candidates.
        image_size: resize every image to (height, width).

    Raises:
        DataError: when the data, a split or a column cannot be found, or a file cannot be decoded.
    """
    local = Path(name).is_dir()
    if local and not any(path.is_file() for path in Path(name).rglob("*")):
        raise DataError(f"the data folder '{name}' is empty; expected parquet, CSV, JSON or image files.")
    if not local and name.count("/") != 1:
        raise DataError(f"'{name}' is no folder, and a Hub id has the form 'owner/name'; {nearest(name, ['digits'])}")
    dataset = _open(name)
    key = _cache_key(name, dataset, input_column, label_column, image_size)
    folder = cache_folder() / key
    if not (folder / "complete.json").is_file():
        with explain_full_disk(folder):
            _decode(dataset, name, folder, input_column, label_column, image_size)
    about = json.loads((folder / "complete.json").read_text())
    splits = {split: _read(folder, name, split, tuple(about["classes"])) for split in about["splits"]}
    if "test" not in splits:
        splits["test"] = splits.pop("validation")
    return splits["train"], splits.get("validation"), splits["test"]


def _open(name: str) -> datasets.DatasetDict:
    import datasets

    # The library shows its own bars and warnings for steps that we report in our own words.
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        found = datasets.load_dataset(name)
    except Exception as error:  # the library raises a dozen kinds, from connection to parsing
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(f"data '{name}' cannot be loaded: {reason}.") from None
    if "train" not in found or not {"test", "validation"} & set(found):
        raise DataError(f"data '{name}' needs the splits train and test; found: {', '.join(found)}.")
    return found


def _cache_key(name: str, dataset: datasets.DatasetDict, *options: object) -> str:
    """Return a name for the decoded copy that changes with the data and with how they are decoded."""
    # the library fingerprints each split from its files' contents or modification times
    states = {split: rows._fingerprint for split, rows in dataset.items()}
    text = json.dumps([_VERSION, states, *map(repr, options)], sort_keys=True)
    return f"{Path(name).name}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def find_columns(features: Any, input_column: str | None, label_column: str | None, name: str) -> tuple[str, str]:
    """Find the columns of inputs and labels by their feature types.

    Raises:
        DataError: when a named column is missing, or none or several fit.
    """
    from datasets import ClassLabel, Image

    images = [key for key, feature in features.items() if isinstance(feature, Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, ClassLabel)]
    found = []
    for role, wanted, candidates in (("input", input_column, images), ("label", label_column, labels)):
        if wanted is not None:
            if wanted not in features:
                raise DataError(f"data '{name}' has no {role} column '{wanted}'; {nearest(wanted, features)}")
            found.append(wanted)
        elif len(candidates) == 1:
            found.append(candidates[0])
        elif candidates:
            raise DataError(
                f"data '{name}' has several {role} columns ({', '.join(candidates)}); name one by {role}_column."
            )
        else:
            kind = "images" if role == "input" else "class labels"
            raise DataError(
                f"data '{name}' has no column of {kind} that could be the {role}; "
                f"its columns are: {', '.join(features)}; name one by {role}_column."
            )
    return found[0], found[1]


def _decode(
    dataset: datasets.DatasetDict,
    name: str,
    folder: Path,
    input_column: str | None,
    label_column: str | None,
    image_size: tuple[int, int] | None,
) -> None:
    """Write `folder` with one array of inputs and one of labels per split; it appears only when whole."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    labels: dict[str, NDArray[np.int64]] = {}
    try:
        for split in ("train", "validation", "test"):
            if split not in dataset:
                continue
            inputs, label = find_columns(dataset[split].features, input_column, label_column, name)
            labels[split] = _labels(dataset[split][label], label, name)
            _write_inputs(partial / f"{split}.npy", dataset[split], inputs, name, image_size)
            np.save(partial / f"{split}-labels.npy", labels[split])
            feature = dataset[split].features[label]
        # splits share their classes, whichever of them occur
        number = max(int(found.max(initial=UNLABELLED)) for found in labels.values()) + 1
        classes = list(feature.names) if hasattr(feature, "names") else [str(index) for index in range(number)]
        (partial / "complete.json").write_text(json.dumps({"splits": list(labels), "classes": classes}))
        try:
            partial.replace(folder)
        except OSError:
            if not (folder / "complete.json").is_file():  # another process was faster: its copy is as good
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_inputs(path: Path, rows: Any, column: str, name: str, image_size: tuple[int, int] | None) -> None:
    """Decode a column row by row into one array on disk, so that memory does not grow with the data."""
    first: NDArray[Any] | None = None
    with path.open("wb") as file:  # no memory map: on a full disk that kills the process without a word
        for index, row in enumerate(_arrays(rows, column, name, image_size)):
            if first is None:
                first = row
                described = np.lib.format.dtype_to_descr(row.dtype)
                header = {"descr": described, "fortran_order": False, "shape": (len(rows), *row.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            if (row.shape, row.dtype) != (first.shape, first.dtype):
                raise DataError(
                    f"input {index} of '{name}' has shape {list(row.shape)} and {row.dtype} values, the first has "
                    f"{list(first.shape)} and {first.dtype}; all must be alike, and image_size resizes images."
                )
            file.write(row.tobytes())
    if first is None:
        raise DataError(f"'{name}' holds no samples.")


def _arrays(rows: Any, column: str, name: str, image_size: tuple[int, int] | None) -> Iterable[NDArray[Any]]:
    iterator = iter(rows.select_columns([column]))
    while True:
        try:
            yield _to_array(next(iterator)[column], image_size)
        except StopIteration:
            return
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"column '{column}' of '{name}' cannot be decoded: {error}.") from None


def _labels(values: Iterable[Any], column: str, name: str) -> NDArray[np.int64]:
    """Return labels as numbers, `UNLABELLED` where the data have none."""
    try:
        known = [UNLABELLED if value is None else operator.index(value) for value in values]
    except TypeError as error:
        raise DataError(f"column '{column}' of '{name}' must hold whole numbers as labels: {error}.") from None
    return np.asarray(known, dtype=np.int64)


def _to_array(value: Any, image_size: tuple[int, int] | None) -> NDArray[Any]:
    """Return an image as uint8 `[channels, height, width]`, and anything else as float32.

    Of 16 bits the upper 8 are kept; images of 32-bit numbers have no known range, so they stay as they are, as float32.
    """
    from PIL import Image

    if value is None:
        raise ValueError("a value is missing")
    if not isinstance(value, Image.Image):
        return np.asarray(value, dtype=np.float32)
    deep = value.mode in _DEEP  # Pillow would cut values above 255 to 255
    grey = deep or value.mode in ("1", "L")
    image = value if deep else value.convert("L" if grey else "RGB")
    if image_size is not None:
        image = image.resize((image_size[1], image_size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if deep:
        pixels = (pixels // 256).astype(np.uint8) if value.mode.startswith("I;16") else pixels.astype(np.float32)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _read(folder: Path, name: str, split: str, classes: tuple[str, ...]) -> Source:
    inputs = np.load(folder / f"{split}.npy", mmap_mode="c", allow_pickle=False)  # "c": torch wants a writable map
    if inputs.nbytes <= IN_MEMORY:
        inputs = np.array(inputs)
    labels = np.load(folder / f"{split}-labels.npy", allow_pickle=False)
    return Source(f"{name} ({split})", torch.from_numpy(inputs), torch.from_numpy(labels), classes)
