"""The cache of decoded data: one array of inputs and one of labels per split, made once."""

from __future__ import annotations

import json
import operator
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.config import DataConfig
from instar.data.log_mel import log_mel
from instar.data.recordings import read_recordings, recorder
from instar.data.samples import UNLABELLED, Source
from instar.data.speech import Frames, all_waves, is_recording, padded, spoken
from instar.data.text import Pretrained, Words, lines, windows
from instar.errors import DataError

IN_MEMORY = 2 << 30
"""Decoded inputs up to this many bytes are read into memory; larger ones are mapped."""

VERSION = 2
"""Of the cache's layout, and of how images and recordings become arrays."""

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")  # Pillow's grey modes of more than 8 bits


def cache_folder() -> Path:
    """Return where decoded data are kept: $INSTAR_CACHE, or ~/.cache/instar."""
    return Path(os.environ.get("INSTAR_CACHE") or Path.home() / ".cache" / "instar")


def decode(
    splits: Mapping[str, Any],
    columns: Mapping[str, tuple[str, str]],
    name: str,
    folder: Path,
    image_size: tuple[int, int] | None,
) -> None:
    """Write `folder`; it appears only when whole.

    Args:
        splits: rows by split.
        columns: of inputs and of labels, by split.
        name: of the data, for people.
        folder: where the decoded data go.
        image_size: resize every image to (height, width).

    Raises:
        DataError: when something cannot be decoded, inputs differ in shape, or labels are no whole numbers.
    """
    with _whole(folder) as partial:
        labels = {split: _labels(rows[columns[split][1]], columns[split][1], name) for split, rows in splits.items()}
        for split, known in labels.items():
            np.save(partial / f"{split}-labels.npy", known)
        inputs = {split: column for split, (column, _) in columns.items()}
        if are_recordings(splits, columns):
            _write_recordings(partial, splits, inputs, name)
        else:
            for split, rows in splits.items():
                arrays = _arrays(rows, inputs[split], name, image_size)
                _write_inputs(partial / f"{split}.npy", arrays, len(rows), name)
        classes = _classes(splits, columns, labels)
        (partial / "complete.json").write_text(json.dumps({"splits": list(labels), "classes": classes}))


def are_recordings(splits: Mapping[str, Any], columns: Mapping[str, tuple[str, str]]) -> bool:
    """Return whether the inputs of all splits are recordings.

    Args:
        splits: rows by split.
        columns: of inputs and of labels, by split.
    """
    return all(is_recording(rows.features[columns[split][0]]) for split, rows in splits.items())


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write in, which takes the place of `folder` at the end."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        try:
            partial.replace(folder)
        except OSError:
            if not (folder / "complete.json").is_file():  # another process was faster: its copy is as good
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def decode_text(splits: Mapping[str, Any], column: str, name: str, folder: Path, tokenizer: str | None) -> None:
    """Write `folder` with the tokens of every split; it appears only when whole.

    Args:
        splits: rows by split.
        column: of the lines.
        name: of the data, for people.
        folder: where the tokens go.
        tokenizer: folder or Hub id; none: words of the train split.

    Raises:
        DataError: when a line is missing, or a word has no number.
    """
    encoder = Pretrained(tokenizer) if tokenizer else Words.of(lines(splits["train"], column, name))
    with _whole(folder) as partial:
        for split, rows in splits.items():
            np.save(partial / f"{split}-tokens.npy", encoder.encode(lines(rows, column, name), f"{name} ({split})"))
        about = {"splits": list(splits), "classes": list(encoder.classes), "end": encoder.end}
        (partial / "complete.json").write_text(json.dumps(about))


def read(folder: Path, config: DataConfig) -> dict[str, Source]:
    """Return the decoded splits, text in windows and recorded words in states, as the configuration says."""
    about = json.loads((folder / "complete.json").read_text())
    classes = tuple(about["classes"])
    found = {}
    for split in about["splits"]:
        name = f"{config.source} ({split})"
        if "end" in about:
            tokens = np.load(folder / f"{split}-tokens.npy", allow_pickle=False)
            found[split] = windows(name, tokens, classes, about["end"], config.length, is_stream=config.stream)
        else:
            found[split] = _read(folder, name, split, classes, config.states)
    return found


def _read(folder: Path, name: str, split: str, classes: tuple[str, ...], states: int) -> Source:
    inputs = np.load(folder / f"{split}.npy", mmap_mode="c", allow_pickle=False)  # "c": torch wants a writable map
    if inputs.nbytes <= IN_MEMORY:
        inputs = np.array(inputs)
    labels = torch.from_numpy(np.load(folder / f"{split}-labels.npy", allow_pickle=False))
    lengths = folder / f"{split}-lengths.npy"
    if lengths.is_file():
        counts = torch.from_numpy(np.load(lengths, allow_pickle=False))
        sound = read_recordings(folder, split)
        return spoken(name, torch.from_numpy(inputs), labels, counts, classes, states, sound)
    return Source(name, torch.from_numpy(inputs), labels, classes)


def _classes(
    splits: Mapping[str, Any], columns: Mapping[str, tuple[str, str]], labels: Mapping[str, NDArray[np.int64]]
) -> list[str]:
    """Return the names of the classes, which splits share, whichever of them occur."""
    feature = [rows.features[columns[split][1]] for split, rows in splits.items()][-1]
    if hasattr(feature, "names"):
        return list(feature.names)
    return [str(index) for index in range(max(int(found.max(initial=UNLABELLED)) for found in labels.values()) + 1)]


def _write_recordings(folder: Path, splits: Mapping[str, Any], columns: Mapping[str, str], name: str) -> None:
    """Write frames, all splits padded to the longest recording, and how many of each are its own.

    Of the last split, which is for the test, the sound is written too; a report shows samples of no other.
    """
    found: dict[str, list[Frames]] = {split: [] for split in splits}
    test = list(splits)[-1]
    with recorder(folder, test) as record:
        for split, wave, rate in all_waves(splits, columns, name):
            found[split].append(log_mel(wave, rate))
            if split == test:
                record(wave, rate)
    longest = max((len(frames) for recordings in found.values() for frames in recordings), default=0)
    for split, recordings in found.items():
        np.save(folder / f"{split}-lengths.npy", np.array([len(frames) for frames in recordings], dtype=np.int64))
        rows = (padded(frames, longest) for frames in recordings)
        _write_inputs(folder / f"{split}.npy", rows, len(recordings), name)


def _write_inputs(path: Path, rows: Iterable[NDArray[Any]], count: int, name: str) -> None:
    """Write `count` rows one by one into one array on disk, so that memory does not grow with the data."""
    first: NDArray[Any] | None = None
    with path.open("wb") as file:  # no memory map: on a full disk that kills the process without a word
        for index, row in enumerate(rows):
            if first is None:
                first = row
                described = np.lib.format.dtype_to_descr(row.dtype)
                header = {"descr": described, "fortran_order": False, "shape": (count, *row.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            if (row.shape, row.dtype) != (first.shape, first.dtype):
                raise DataError(
                    f"input {index} of '{name}' has shape {list(row.shape)} and {row.dtype} values, the first has "
                    f"{list(first.shape)} and {first.dtype}; all must be alike, and image_size resizes images."
                )
            file.write(row.tobytes())
    if first is None:
        raise DataError(f"'{name}' holds no samples.")


def _arrays(rows: Any, column: str, name: str, image_size: tuple[int, int] | None) -> Iterator[NDArray[Any]]:
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
