"""Sources by split of everything that `load_data` takes: names, folders, and Python objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from instar.config import DataConfig
from instar.data.digits import load_digits
from instar.data.drawn_test import choose_test_samples
from instar.data.from_function import names_a_function
from instar.data.given_rows import rows_of_lists
from instar.data.hub import load_hub
from instar.data.numbered import make_numbers
from instar.data.objects import columns_of_objects, read_objects
from instar.data.opening import rows_by_split
from instar.data.refused_settings import (
    refuse_array_settings,
    refuse_instruction_settings,
    refuse_recording_settings,
)
from instar.data.samples import Samples
from instar.data.source import Source
from instar.data.speech import state_names
from instar.errors import ConfigError, DataError
from instar.tasks.words import Words

ARRAYS_SOURCE = "arrays"
"""Source name of data given as Python objects."""


def are_objects(source: str) -> bool:
    """Return whether data are Python objects, which no cache holds: given, or returned by a function.

    >>> [are_objects(source) for source in ("arrays", "mine:load", "digits")]
    [True, True, False]
    """
    return source == ARRAYS_SOURCE or names_a_function(source)


def read_sources(spec: Any, config: DataConfig, *, is_recorded: bool = False) -> dict[str, Source]:
    """Return sources by split; only "train" if the data must still be split.

    Args:
        spec: Python objects; or a text, a path or settings, for the data that `config` names.
        config: name of the data, and how to read them.
        is_recorded: read arrays as the run that recorded these settings.

    Raises:
        DataError: when the data cannot be found, read or interpreted, or have several interpretations.
        ConfigError: when a setting has no effect on such data, or names other classes than they have.
    """
    found = _read_sources(spec, config, is_recorded=is_recorded)
    if not is_recorded:
        _refuse_size_without_effect(found["train"], config)
    return make_numbers(found, config) if config.labels == "numbers" else found


def _read_sources(spec: Any, config: DataConfig, *, is_recorded: bool) -> dict[str, Source]:
    is_given = not isinstance(spec, str | Path | DataConfig)
    if not is_given and config.source == ARRAYS_SOURCE:
        raise DataError("the run was trained on arrays; pass them again as data=load_data((inputs, labels)).")
    if config.source == "digits" and (name := config.input_column or config.label_column):
        raise ConfigError(f"'{name}' is no column of the source 'digits', which has none.")
    for name in ("test_where", "input_columns", "columns"):
        has_columns = _has_columns(spec) if is_given else config.source != "digits"
        # a data frame has columns that may be inputs
        has_columns = has_columns or (is_given and name == "input_columns" and bool(columns_of_objects(spec)))
        if getattr(config, name) and not has_columns:
            raise ConfigError(f"'{name}' needs data with columns, but the source '{config.source}' has none.")
    if is_given:
        return read_objects(spec, config)
    if config.source == "digits":
        refuse_recording_settings(config, "images")
        if not is_recorded:
            refuse_array_settings(config, "images")
            refuse_instruction_settings(config, "images")
        train, validation, test = load_digits()
    else:
        train, validation, test = load_hub(config, is_recorded=is_recorded)
    # the user lists words, and the classes of recordings are their states
    wanted = state_names(config.classes, train.task.states) if isinstance(train.task, Words) else config.classes
    if wanted and wanted != train.classes:
        raise ConfigError(f"'classes' must be those of '{config.source}': {', '.join(train.classes):.200}.")
    return {"train": train, "test": test} | ({"validation": validation} if validation else {})


def _has_columns(given: object) -> bool:
    return rows_by_split(given) is not None or rows_of_lists(given) is not None


def _refuse_size_without_effect(source: Source, config: DataConfig) -> None:
    # decoded images have the size and the channels that the settings ask for, and no other inputs are changed
    shape, size = tuple(source.inputs.shape[1:]), config.image_size
    if len(shape) != 3:
        return
    wanted = {"image_size": (size, size) if isinstance(size, int) else size, "channels": config.channels}
    found = {"image_size": shape[1:], "channels": next(iter(shape), None)}  # texts have no axes
    for name, value in wanted.items():
        if value not in (None, found[name]):
            raise ConfigError(
                f"'{name}' is for images that are decoded, and the inputs of '{source.name}' are arrays of shape "
                f"{list(shape)}, which are not changed; leave it out, or give files or images of Pillow."
            )


def split_off_test(source: Source, config: DataConfig) -> dict[str, Source]:
    """Return train and a test set that is drawn from it, a share `config.test` or a fifth, as sources by split."""
    samples = Samples.all_of(source)
    if config.test is None or source.positions is not None:
        train, test = samples.split(config.test or 0.2, config.split_seed, stratified=config.stratified)
    else:
        places = choose_test_samples(source.labels.tolist(), config.test, config.split_seed, source.name)
        is_test = torch.zeros(len(source), dtype=torch.bool)
        is_test[places] = True
        train, test = samples.select(~is_test), samples.select(is_test)
    return {"train": train.as_source(f"train {source.name}"), "test": test.as_source(f"test {source.name}")}
