"""Hugging Face data sets from the Hub or a local folder in the same layout, decoded once into the cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instar.config import DataConfig
from instar.data import decoded
from instar.data.bad_files import SKIPPED_FILE
from instar.data.cache import cache_folder, keep, verify
from instar.data.columns.of_rows import add_columns, read_named_columns
from instar.data.columns.sounds import WAVES, Sounds
from instar.data.drawn_test import DRAWN, choose_test_samples, hold_out_test
from instar.data.image_form import ImageForm
from instar.data.instructions.copies import hash_tokenizer, read_instructions, write_instructions
from instar.data.media_paths import hash_named_files
from instar.data.opening import is_table_file, open_data
from instar.data.reading import Reading, choose_reading
from instar.data.refused_settings import (
    refuse_array_settings,
    refuse_instruction_settings,
    refuse_recording_settings,
)
from instar.data.source import Source
from instar.data.tables.sources import choose_cells, read_table_rows
from instar.data.text_sources import read_labelled_texts
from instar.data.word_sources import read_labelled_words
from instar.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    import datasets


_NEVER_COPIED = {"labelled texts": "texts", "labelled words": "words", "cells": "cells", "several columns": "columns"}
"""Kinds of data that are not decoded into the cache, and what they hold."""


def load_hub(
    config: DataConfig, *, is_recorded: bool = False, max_loaded_bytes: int = decoded.MAX_LOADED_BYTES
) -> tuple[Source, Source | None, Source]:
    """Return (train, validation or None, test) of a Hub id or a local folder.

    `choose_reading` chooses the columns. The test split is `test`, or `validation` if there is no `test`.

    Args:
        config: settings whose source is a Hub id such as `ylecun/mnist`, or a folder of parquet, JSON, CSV, text or
            image files that `datasets.load_dataset` reads.
        is_recorded: read arrays as the run that recorded these settings.
        max_loaded_bytes: decoded inputs up to this size are read into memory; larger ones are mapped.

    Raises:
        DataError: when the data, a split or a column cannot be found, or a file cannot be decoded.
    """
    found, reading = _open(config), None
    if found["train"].builder_name == "csv" and (known := choose_reading(found, config)).kind == "cells":
        # the library has read 007 as 7, and NA as a missing value
        cells = choose_cells(found["train"].column_names, known.labels, config)
        found, reading = _open(config, as_text=cells), known
    splits = read_rows(found, config, is_recorded=is_recorded, max_loaded_bytes=max_loaded_bytes, reading=reading)
    return splits["train"], splits.get("validation"), splits["test"]


def verify_copy(config: DataConfig) -> tuple[Path, dict[str, int]]:
    """Return the folder of the decoded copy of data, and the sizes of its files in bytes, all of which were hashed.

    Args:
        config: settings, as for `load_hub`.

    Raises:
        ConfigError: when data of this kind are never decoded.
        DataError: when the data cannot be found, have no copy, or a file of the copy is not what was written.
    """
    rows, reading, config = _choose_rows(_open(config), config, is_recorded=False)
    if reading.kind in _NEVER_COPIED:
        raise ConfigError(
            f"'{config.source}' has no decoded copy, because its {_NEVER_COPIED[reading.kind]} are read from its files "
            "each time."
        )
    folder = _copy_folder(rows, reading, config)
    content = verify(folder)
    if chosen := content.get("image_size"):  # sizes differ; their copy is that of this size
        folder = _copy_folder(rows, reading, config.model_copy(update={"image_size": chosen}))
        content = verify(folder)
    return folder, {name: described["bytes"] for name, described in content["files"].items()}


def _open(config: DataConfig, as_text: Collection[str] = ()) -> dict[str, datasets.Dataset]:
    name = config.source
    local = os.path.isdir(name)
    if local and not any(path.is_file() for path in Path(name).rglob("*")):
        raise DataError(f"the data folder '{name}' is empty; expected parquet, CSV, JSON or image files.")
    if not local and not is_table_file(name) and name.count("/") != 1:
        raise DataError(f"'{name}' is not a folder or a Hub id (owner/name); {nearest(name, ['digits'])}")
    return open_data(
        name,
        needs_test=config.test is None and config.test_where is None,
        tells=True,
        labels=config.label_column,
        are_classes=config.labels == "classes",
        is_corpus=config.input_column is not None and config.input_column == config.label_column,
        as_text=as_text,
    )


def read_rows(
    found: Mapping[str, datasets.Dataset],
    config: DataConfig,
    *,
    is_recorded: bool = False,
    max_loaded_bytes: int = decoded.MAX_LOADED_BYTES,
    reading: Reading | None = None,
) -> dict[str, Source]:
    """Return sources by split from rows by split; only "train" if there is no other split.

    Args:
        found: rows by split; validation becomes the test split if there is no other.
        config: name of the data, and how to read them.
        is_recorded: read arrays as the run that recorded these settings.
        max_loaded_bytes: as for `load_hub`.
        reading: columns and type of the inputs; None: `choose_reading` finds them.

    Raises:
        DataError: when a column cannot be found, a value cannot be decoded, or arrays have several interpretations.
        ConfigError: when a setting of arrays is given for other data.
    """
    is_drawn = config.test_where is None and config.test is not None and "test" not in found
    found, reading, config = _choose_rows(found, config, is_recorded=is_recorded, reading=reading)
    skipped: dict[str, list[int]] = {}
    if reading.kind == "labelled texts":
        splits = read_labelled_texts(found, reading, config)
    elif reading.kind == "labelled words":
        splits = read_labelled_words(found, reading.inputs, reading.labels, config)
    elif reading.kind == "cells":
        splits = read_table_rows(found, reading.labels, config)
    elif config.input_columns and reading.kind != "instructions":
        splits = read_named_columns(found, reading, config)
    else:
        splits, skipped = _read_copy(found, reading, config, max_loaded_bytes)
    splits = add_columns(splits, found, skipped, reading, config)
    if is_drawn:
        told = f", {DRAWN} (a share of {config.test:g})"
        splits = {split: replace(source, reading=source.reading + told) for split, source in splits.items()}
    if "test" not in splits and "validation" in splits:  # some data sets publish no test split
        splits["test"] = splits.pop("validation")
    return splits


def _choose_rows(
    found: Mapping[str, datasets.Dataset], config: DataConfig, *, is_recorded: bool, reading: Reading | None = None
) -> tuple[Mapping[str, datasets.Dataset], Reading, DataConfig]:
    if config.test_where is not None:
        found = hold_out_test(found, config.test_where, config.source)
    reading = reading or choose_reading(found, config)
    if config.test is not None and "test" not in found:
        found = _draw_test(found, reading, config)
    refuse_recording_settings(config, reading.kind)
    if reading.kind == "arrays":
        config = _as_recorded(config, found["train"], reading.inputs) if is_recorded else config
    elif not is_recorded:
        refuse_array_settings(config, reading.kind)
    if reading.kind != "instructions" and not is_recorded:
        refuse_instruction_settings(config, reading.kind)
    return found, reading, config


def _copy_folder(found: Mapping[str, datasets.Dataset], reading: Reading, config: DataConfig) -> Path:
    options = _options_of(found["train"], config, reading)
    files = {split: hash_named_files(rows, reading.inputs) for split, rows in found.items()}
    options += [("files", files)] if any(files.values()) else []
    return cache_folder() / _cache_key(config.source, found, *options)


def _read_copy(
    found: Mapping[str, datasets.Dataset], reading: Reading, config: DataConfig, max_loaded_bytes: int
) -> tuple[dict[str, Source], dict[str, list[int]]]:
    """Return sources of decoded data, which are kept in the cache, and the rows that were left out."""
    name = config.source

    def write(folder: Path) -> dict[str, object]:
        if reading.kind == "text":
            return decoded.decode_text(found, reading.inputs, name, folder, config.tokenizer)
        if reading.kind == "instructions":
            return write_instructions(found, reading.inputs, folder, config)
        return decoded.decode(reading.cast(found), reading, folder, config)

    folder = _copy_folder(found, reading, config)
    holds = keep(folder, write, hashed_bytes=max_loaded_bytes)
    if reading.kind == "instructions":
        return read_instructions(folder, holds, config), {}
    if chosen := holds.get("image_size"):  # sizes differ; their copy is that of this size
        sized = config.model_copy(update={"image_size": chosen})
        splits, skipped = _read_copy(found, reading, sized, max_loaded_bytes)
        told = f", of several sizes, so resized to {chosen} x {chosen} ({ImageForm.of(sized).resize})"
        settings = {"image_size": chosen}
        return {
            split: replace(source, reading=source.reading + told, settings=settings) for split, source in splits.items()
        }, skipped
    splits = decoded.read(folder, holds, config, max_loaded_bytes)
    columns = f"{reading.kind} of column '{reading.inputs}', labels of column '{reading.labels}'"
    columns += f", read as {splits['train'].reading}" if reading.kind == "arrays" else ""
    columns += holds.get("told", "")
    if reading.kind == "recordings" and config.states:  # nothing in the data tells words from other labels
        columns += f", a spoken word in {config.states} parts each; data.states=0 takes one class for a whole recording"
    left_out: Mapping[str, list[Any]] = holds.get("skipped") or {}
    if left_out:
        counts = " and ".join(f"{len(files):,} of {split}" for split, files in left_out.items())
        columns += f", without {reading.kind} that cannot be decoded ({counts}; listed in '{folder / SKIPPED_FILE}')"
    skipped = {split: [row for row, *_ in files] for split, files in left_out.items()}
    splits = {split: replace(source, reading=columns) for split, source in splits.items()}
    if reading.kind == "recordings" and not config.states:
        splits = _with_sounds(splits, reading.cast(found), skipped, reading.inputs)
    return splits, skipped


def _with_sounds(
    sources: Mapping[str, Source], rows: Mapping[str, datasets.Dataset], skipped: Mapping[str, list[int]], column: str
) -> dict[str, Source]:
    rate = next(source.sound.rate for source in sources.values() if source.sound is not None)
    kept = {split: np.delete(np.arange(len(rows[split])), skipped.get(split, [])) for split in sources}
    return {
        split: replace(
            source, columns={**source.columns, WAVES: Sounds.of_rows(rows[split], column, kept[split], rate)}
        )
        for split, source in sources.items()
    }


def _as_recorded(config: DataConfig, rows: datasets.Dataset, column: str) -> DataConfig:
    # older versions recorded nothing, and read all arrays in files as numbers with unchanged axes
    axes = max(map(np.ndim, rows[:1][column]), default=0)
    settings = {"inputs": config.inputs or "numbers", "layout": config.layout or ("CHW" if axes == 3 else None)}
    return config.model_copy(update=settings)


def _draw_test(splits: Mapping[str, datasets.Dataset], reading: Reading, config: DataConfig) -> dict[str, Any]:
    rows, share = splits["train"], config.test or 0.0
    if reading.kind == "text":  # its lines continue each other, so the test set is its end
        test = list(range(len(rows) - round(share * len(rows)), len(rows)))
    elif reading.kind == "instructions":  # which have no classes
        test = choose_test_samples([None] * len(rows), share, config.split_seed, config.source)
    else:
        are_classes = config.labels != "numbers"  # a number is hardly ever there twice
        labels = [label if are_classes and not isinstance(label, list) else None for label in rows[reading.labels][:]]
        test = choose_test_samples(labels, share, config.split_seed, config.source)
    left = np.setdiff1d(np.arange(len(rows)), test)
    return {**splits, "train": rows.select(left.tolist()), "test": rows.select(test)}


def _options_of(rows: datasets.Dataset, config: DataConfig, reading: Reading) -> list[object]:
    options: list[object] = [config.input_column, config.label_column, config.image_size]
    # later options join the key only if they are set, so that copies of older versions are found
    options += [config.tokenizer] if config.tokenizer else []
    if reading.kind == "instructions":  # a tokenizer that was trained again may be in the same folder
        options += [("instructions", reading.inputs, config.on_error, hash_tokenizer(config.tokenizer))]
    if reading.kind == "recordings":
        options += ["sound"]  # older copies of recordings have none
        options += [("sample_rate", config.sample_rate)] if config.sample_rate else []
        options += [("on_error", config.on_error)] if config.on_error != "refuse" else []
    mode = getattr(rows.features[reading.inputs], "mode", None)
    options += [("mode", mode)] if mode else []  # older copies have the images' own modes
    options += [(config.unlabelled, config.classes)] if config.unlabelled is not None or config.classes else []
    options += ["numbers"] if config.labels == "numbers" else []
    options += [("arrays", config.inputs, config.layout)] if reading.kind == "arrays" else []
    if reading.kind == "images":
        options += [("resize", config.resize)] if config.resize else []
        options += [("channels", config.channels)] if config.channels else []
        options += [("on_error", config.on_error)] if config.on_error != "refuse" else []
        # older copies of resized images have another length of the longer side before a crop, and noise for images of
        # 16 bits in the other byte order
        options += ["rounded down, in machine order"] if config.image_size else []
    return options


def _cache_key(name: str, dataset: Mapping[str, datasets.Dataset], *options: object) -> str:
    # the library computes the fingerprint of a split from the content or modification time of its own files
    states = {split: rows._fingerprint for split, rows in dataset.items()}
    # the form of this text must stay, because the names of all existing copies depend on it
    text = json.dumps([decoded.CACHE_VERSION, states, *map(repr, options)], sort_keys=True)
    return f"{Path(name).name[:40]}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
