"""Decoded data in the cache: one array of inputs and one of labels per split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.array_files import write_inputs, write_numbers
from instar.data.array_sources import make_array_sources
from instar.data.decoded_images import write_images
from instar.data.decoded_recordings import write_recordings
from instar.data.images import decode_numbers
from instar.data.labels import map_labels, refuse_twins
from instar.data.mapping import map_array
from instar.data.media_folders import FOLDER_READERS, refuse_merged_classes
from instar.data.opening import join_names
from instar.data.reading import Reading
from instar.data.recordings import read_recordings
from instar.data.source import Source
from instar.data.speech import make_recorded_source, make_spoken_source
from instar.data.stored import StoredInputs
from instar.data.text import PretrainedTokenizer, WordTokenizer, cut_windows, read_lines
from instar.errors import DataError
from instar.tasks.next_token import NextToken

MAX_LOADED_BYTES = 2 << 30
"""Size up to which decoded inputs are read into memory; larger inputs are memory-mapped."""

CACHE_VERSION = 2
"""Version of the layout of the cache and of the decoding of images and recordings."""


def decode(splits: Mapping[str, Any], reading: Reading, folder: Path, config: DataConfig) -> dict[str, Any]:
    """Write the decoded arrays of each split into a folder, and return a description of their content.

    Args:
        splits: rows by split, with inputs that are not decoded.
        reading: input and label columns.
        folder: folder to write to.
        config: name of the data, and settings of labels and images.

    Raises:
        DataError: when a row cannot be decoded, inputs differ in shape, or labels have several interpretations.
    """
    labels, classes = map_label_column(splits, reading.labels, config)
    if reading.kind != "arrays" and any(known.ndim > 1 for known in labels.values()):
        raise DataError(
            f"label column '{reading.labels}' of '{config.source}' contains lists; expected one label for each row."
        )
    train = splits["train"]
    are_folders = train.builder_name in FOLDER_READERS and hasattr(train.features[reading.labels], "names")
    if reading.kind in ("images", "recordings") and are_folders and not config.classes:
        refuse_merged_classes(splits, reading.inputs, reading.labels, config.source)
    if are_folders and not config.classes and config.labels is None:
        refuse_twins(classes)
    if reading.kind == "arrays":
        return _write_arrays(folder, splits, reading.inputs, labels, classes, config)
    write = write_recordings if reading.kind == "recordings" else write_images
    if "image_size" in (written := write(folder, splits, reading.inputs, config)):
        return written  # the data lie in the copy of that size
    for split, known in labels.items():
        skipped = [row for row, *_ in written.get("skipped", {}).get(split, ())]
        np.save(folder / f"{split}-labels.npy", np.delete(known, skipped))
    return {"splits": list(labels), "classes": classes} | written


def decode_text(
    splits: Mapping[str, Any], column: str, name: str, folder: Path, tokenizer: str | None
) -> dict[str, Any]:
    """Write the tokens of each split into a folder, and return a description of their content.

    Args:
        splits: rows by split.
        column: column of the lines.
        name: name of the data, for error messages.
        folder: folder to write to.
        tokenizer: folder or Hub id of a tokenizer; None: use the words of the training split.

    Raises:
        DataError: when a line is missing, or a word is not in the vocabulary.
    """
    # the vocabulary is that of the training split alone, because the test must not tell which words there are
    lines = read_lines(splits["train"], column, name)
    encoder = PretrainedTokenizer(tokenizer) if tokenizer else WordTokenizer.of(lines)
    for split, rows in splits.items():
        tokens = encoder.encode_lines(read_lines(rows, column, name), f"{name} ({split})")
        write_numbers(folder / f"{split}-tokens.npy", tokens, np.int32)
    return {"splits": list(splits), "classes": list(encoder.classes), "end": encoder.end}


def read(folder: Path, holds: Mapping[str, Any], config: DataConfig, max_loaded_bytes: int) -> dict[str, Source]:
    """Return the sources of the decoded splits, with text cut into windows and recorded words into states.

    Args:
        folder: folder of the copy.
        holds: description that `decode` or `decode_text` returned.
        config: settings of windows and states.
        max_loaded_bytes: inputs up to this size are read into memory; larger ones are mapped.
    """
    classes = tuple(holds["classes"])
    found = {}
    for split in holds["splits"]:
        name = f"{config.source} ({split})"
        if "end" in holds:
            found[split] = _read_windows(folder, name, split, holds, config)
        else:
            found[split] = _read_split(folder, name, split, classes, config.states, max_loaded_bytes)
            # kept values belong to the content that `keep` has verified, not to a name or a time
            stored = StoredInputs(found[split].inputs, folder, holds["files"][f"{split}.npy"]["checksum"])
            found[split] = replace(found[split], stored=stored)
        if "arrays" in holds:
            exact = folder / f"{split}-exact.npy"
            given = torch.from_numpy(_load_array(exact, max_loaded_bytes)) if exact.is_file() else None
            task = NextToken() if holds["are_next_tokens"] else found[split].task
            found[split] = replace(found[split], given=given, task=task, **holds["arrays"])
    return found


def _read_windows(folder: Path, name: str, split: str, holds: Mapping[str, Any], config: DataConfig) -> Source:
    # windows are cut here and not when they are decoded, so that every length reads the same copy
    file, end, length = f"{split}-tokens.npy", holds["end"], config.length
    checksum = f"{holds['files'][file]['checksum']} in windows of {length} after {end}"
    return cut_windows(
        name,
        folder / file,
        tuple(holds["classes"]),
        end,
        length,
        is_stream=config.stream,
        stored=lambda inputs, labels: StoredInputs(inputs, folder, checksum, labels),
    )


def _load_array(path: Path, max_loaded_bytes: int) -> NDArray[Any]:
    array = map_array(path)
    return np.array(array) if array.nbytes <= max_loaded_bytes else array


def _read_split(
    folder: Path, name: str, split: str, classes: tuple[str, ...], states: int, max_loaded_bytes: int
) -> Source:
    inputs = _load_array(folder / f"{split}.npy", max_loaded_bytes)
    labels = torch.from_numpy(np.load(folder / f"{split}-labels.npy", allow_pickle=False))
    lengths = folder / f"{split}-lengths.npy"
    if lengths.is_file():
        counts = torch.from_numpy(np.load(lengths, allow_pickle=False))
        sound = read_recordings(folder, split)
        frames = torch.from_numpy(inputs)
        if not states:
            return make_recorded_source(name, frames, labels, counts, classes, sound)
        return make_spoken_source(name, frames, labels, counts, classes, states, sound)
    return Source(name, torch.from_numpy(inputs), labels, classes)


def _write_arrays(
    folder: Path,
    splits: Mapping[str, Any],
    column: str,
    labels: Mapping[str, NDArray[np.int64]],
    classes: list[str],
    config: DataConfig,
) -> dict[str, Any]:
    # first as they are, into a file that is mapped: the arrays of all splits tell together how they are read
    raw, known, first = {}, {}, None
    for split, rows in splits.items():
        where, path = f"{config.source} ({split})", folder / f"{split}-raw.npy"
        first = write_inputs(path, decode_numbers(rows, column, where), len(rows), where, first)
        raw[where], known[where] = np.load(path, mmap_mode="r", allow_pickle=False), labels[split]
    sources = make_array_sources(raw, known, tuple(classes), config)
    for split in splits:
        source = sources[f"{config.source} ({split})"]
        np.save(folder / f"{split}.npy", source.inputs.numpy())
        np.save(folder / f"{split}-labels.npy", source.labels.numpy())
        if source.given is not None:
            np.save(folder / f"{split}-exact.npy", source.given.numpy())
        (folder / f"{split}-raw.npy").unlink()
    arrays = {"reading": source.reading, "settings": dict(source.settings)}
    are_next_tokens = isinstance(source.task, NextToken)
    return {"splits": list(splits), "classes": classes, "arrays": arrays, "are_next_tokens": are_next_tokens}


def map_label_column(
    splits: Mapping[str, Any], column: str, config: DataConfig
) -> tuple[dict[str, NDArray[np.int64]], list[str]]:
    """Return the class numbers of a column by split, and the class names.

    Raises:
        DataError: when splits have other classes, or labels have several interpretations.
    """
    names = getattr(splits["train"].features[column], "names", None)  # those of a column of class labels
    for split, rows in splits.items():
        if (others := getattr(rows.features[column], "names", None)) != names:
            # number 3 would be one class in one split, and another in the other
            ours, theirs = (f"the classes {join_names(some)}" if some else "no names" for some in (names, others))
            raise DataError(
                f"label column '{column}' of '{config.source}' has {ours} in train and {theirs} in {split}; all splits "
                "must have the same, in one order."
            )
    values = {split: rows[column][:] for split, rows in splits.items()}
    if names is not None and config.labels == "numbers":
        raise DataError(
            f"label column '{column}' of '{config.source}' holds names of classes ({join_names(names)}); leave out "
            "data.labels=numbers."
        )
    if names is not None and config.unlabelled is None and not config.classes:
        found = {split: np.array([UNLABELLED if at is None else at for at in known]) for split, known in values.items()}
        classes = list(names)
    else:
        if names is not None:  # `unlabelled` and `classes` are given by name
            values = {
                split: [None if at in (None, UNLABELLED) else names[at] for at in known]
                for split, known in values.items()
            }
        mapped, given = map_labels({f"{config.source} ({split})": known for split, known in values.items()}, config)
        found, classes = dict(zip(splits, mapped.values(), strict=True)), list(given)
    if not classes:  # an empty column, or one of words that the library reads as missing, such as None and NA
        raise DataError(
            f"no row of '{config.source}' has a label in column '{column}', so the classes are unknown. Choose another "
            "column with label_column, or list the classes in data.classes."
        )
    # classes without training samples are expected if the data set lists its classes; folder names list nothing
    are_declared = config.classes or (names is not None and splits["train"].builder_name not in FOLDER_READERS)
    if not are_declared and config.labels != "numbers":  # numbers of the test need not be known
        _refuse_new_classes(found, classes, config.source)
    return found, classes


def _refuse_new_classes(labels: Mapping[str, NDArray[np.int64]], classes: Sequence[str], name: str) -> None:
    # classes that no training sample has may be the same classes under other names, such as test/Katze
    present = {split: [classes[at] for at in np.unique(known[known >= 0])] for split, known in labels.items()}
    for split, names in present.items():
        if new := set(names) - set(present["train"]):
            raise DataError(
                f"expected the classes of the training split of '{name}' ({join_names(present['train'])}), found "
                f"{join_names(sorted(new))} in split {split} ({join_names(names)}). Use the same class names in all "
                "splits, or list all classes in data.classes."
            )
