"""The cache of decoded data: one array of inputs and one of labels per split, made once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.columns import Reading
from instar.data.images import arrays
from instar.data.labels import map_labels
from instar.data.log_mel import log_mel
from instar.data.opening import listed
from instar.data.recordings import read_recordings, recorder
from instar.data.samples import Source
from instar.data.speech import Frames, all_waves, padded, spoken
from instar.data.text import Pretrained, Words, lines, windows
from instar.errors import DataError

IN_MEMORY = 2 << 30
"""Decoded inputs up to this many bytes are read into memory; larger ones are mapped."""

VERSION = 2
"""Of the cache's layout, and of how images and recordings become arrays."""

_NAMED_BY_FOLDERS = ("imagefolder", "audiofolder")  # readers that take the names of folders for classes


def decode(splits: Mapping[str, Any], reading: Reading, folder: Path, config: DataConfig) -> dict[str, Any]:
    """Write the arrays of every split into a folder, and return what they hold.

    Args:
        splits: rows by split, whose inputs are not decoded.
        reading: which columns are what.
        folder: where the decoded data go.
        config: names the data, and says how labels and images are read.

    Raises:
        DataError: when something cannot be decoded, inputs differ in shape, or labels may be read in several ways.
    """
    labels, classes = _labels(splits, reading.labels, config)
    for split, known in labels.items():
        np.save(folder / f"{split}-labels.npy", known)
    if reading.kind == "recordings":
        _write_recordings(folder, splits, reading.inputs, config.source)
    else:
        _write_arrays(folder, splits, reading.inputs, config)
    return {"splits": list(labels), "classes": classes}


def decode_text(
    splits: Mapping[str, Any], column: str, name: str, folder: Path, tokenizer: str | None
) -> dict[str, Any]:
    """Write the tokens of every split into a folder, and return what they hold.

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
    for split, rows in splits.items():
        np.save(folder / f"{split}-tokens.npy", encoder.encode(lines(rows, column, name), f"{name} ({split})"))
    return {"splits": list(splits), "classes": list(encoder.classes), "end": encoder.end}


def read(folder: Path, holds: Mapping[str, Any], config: DataConfig) -> dict[str, Source]:
    """Return the decoded splits, text in windows and recorded words in states, as the configuration says.

    Args:
        folder: of the copy.
        holds: what `decode` or `decode_text` returned.
        config: how they are read.
    """
    classes = tuple(holds["classes"])
    found = {}
    for split in holds["splits"]:
        name = f"{config.source} ({split})"
        if "end" in holds:
            tokens = np.load(folder / f"{split}-tokens.npy", allow_pickle=False)
            found[split] = windows(name, tokens, classes, holds["end"], config.length, is_stream=config.stream)
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


def _write_recordings(folder: Path, splits: Mapping[str, Any], column: str, name: str) -> None:
    """Write frames, all splits padded to the longest recording, and how many of each are its own.

    Of the last split, which is for the test, the sound is written too; a report shows samples of no other.
    """
    found: dict[str, list[Frames]] = {split: [] for split in splits}
    test = list(splits)[-1]
    with recorder(folder, test) as record:
        for split, wave, rate in all_waves(splits, column, name):
            found[split].append(log_mel(wave, rate))
            if split == test:
                record(wave, rate)
    longest = max((len(frames) for recordings in found.values() for frames in recordings), default=0)
    for split, recordings in found.items():
        np.save(folder / f"{split}-lengths.npy", np.array([len(frames) for frames in recordings], dtype=np.int64))
        rows = (padded(frames, longest) for frames in recordings)
        _write_inputs(folder / f"{split}.npy", rows, len(recordings), name)


class _MixedColoursError(DataError):
    """Some images are grey, and some have colour."""


def _write_arrays(folder: Path, splits: Mapping[str, Any], column: str, config: DataConfig) -> None:
    """Write the inputs of all splits in one shape; grey images have three channels where any image has colour."""

    def write(*, colour: bool) -> None:
        first = None
        for split, rows in splits.items():
            where = f"{config.source} ({split})"
            found = arrays(rows, column, where, config.image_size, colour=colour)
            first = _write_inputs(folder / f"{split}.npy", found, len(rows), where, first)

    try:
        write(colour=False)
    except _MixedColoursError:
        write(colour=True)


def _write_inputs(
    path: Path, rows: Iterable[NDArray[Any]], count: int, name: str, like: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Write `count` rows one by one into one array on disk, so that memory does not grow with the data.

    Returns what all rows were like: the first, or that of a split before this one.
    """
    is_written = False
    with path.open("wb") as file:  # no memory map: on a full disk that kills the process without a word
        for index, row in enumerate(rows):
            first = row if like is None else like
            if (row.shape, row.dtype) != (first.shape, first.dtype):
                raise _difference(index, name, row, first)
            if not is_written:
                described = np.lib.format.dtype_to_descr(row.dtype)
                header = {"descr": described, "fortran_order": False, "shape": (count, *row.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(row.tobytes())
            like, is_written = first, True
    if like is None or not is_written:
        raise DataError(f"'{name}' holds no samples.")
    return like


def _difference(index: int, name: str, row: NDArray[Any], first: NDArray[Any]) -> DataError:
    """Return the error of an input that is not like the first of all."""
    is_image = row.dtype == first.dtype == np.uint8 and row.ndim == first.ndim == 3
    kind = _MixedColoursError if is_image and {len(row), len(first)} == {1, 3} else DataError
    return kind(
        f"input {index} of '{name}' has shape {list(row.shape)} and {row.dtype} values, the first has "
        f"{list(first.shape)} and {first.dtype}; all must be alike, and image_size resizes images."
    )


def _labels(
    splits: Mapping[str, Any], column: str, config: DataConfig
) -> tuple[dict[str, NDArray[np.int64]], list[str]]:
    """Return the class number of every label by split, `UNLABELLED` where there is none, and the names of the classes.

    Raises:
        DataError: when labels may be read in several ways, or a split has labels that the training split lacks, in data
            that do not say themselves what their classes are.
    """
    names = getattr(splits["train"].features[column], "names", None)
    for split, rows in splits.items():
        if (others := getattr(rows.features[column], "names", None)) != names:
            ours, theirs = (f"the classes {listed(some)}" if some else "no names" for some in (names, others))
            raise DataError(
                f"label column '{column}' of '{config.source}' has {ours} in train and {theirs} in {split}; all splits "
                "must have the same, in one order."
            )
    values = {split: list(rows[column]) for split, rows in splits.items()}
    if names is not None and config.unlabelled is None and not config.classes:
        found = {split: np.array([UNLABELLED if at is None else at for at in known]) for split, known in values.items()}
        classes = list(names)
    else:
        if names is not None:
            words = {
                split: [None if at in (None, UNLABELLED) else names[at] for at in known]
                for split, known in values.items()
            }
            values = words
        where = {split: f"{config.source} ({split})" for split in splits}
        mapped, mapped_names = map_labels({where[split]: known for split, known in values.items()}, config)
        found, classes = {split: mapped[where[split]] for split in splits}, list(mapped_names)
    are_declared = config.classes or (names is not None and splits["train"].builder_name not in _NAMED_BY_FOLDERS)
    if not are_declared:
        _refuse_new_classes(found, classes, config.source)
    return found, classes


def _refuse_new_classes(labels: Mapping[str, NDArray[np.int64]], classes: Sequence[str], name: str) -> None:
    """Refuse a split with classes that no training sample has, which may be the same classes under other names."""
    present = {split: [classes[at] for at in np.unique(known[known >= 0])] for split, known in labels.items()}
    for split, names in present.items():
        if new := set(names) - set(present["train"]):
            raise DataError(
                f"split {split} of '{name}' has the classes {listed(names)}, and train has {listed(present['train'])}: "
                f"{listed(sorted(new))} cannot be learnt. Give classes the same names in all splits, or name all "
                "classes by data.classes."
            )
