"""Reading of data given as Python objects: arrays, tables and torch data sets, with or without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from instar.config import DataConfig
from instar.data.array_sources import make_array_sources
from instar.data.array_values import as_pandas, as_row, is_image, is_table, stacked
from instar.data.given_images import as_images, decode_given_images, shrunk
from instar.data.given_recordings import as_recordings, rows_of_recordings
from instar.data.given_rows import rows_of_lists
from instar.data.hub import read_rows
from instar.data.labels import LABEL_NAMES, map_labels
from instar.data.media_paths import open_paths, tell_repeated_files
from instar.data.named_inputs import make_named_sources, split_off_labels
from instar.data.opening import rows_by_split
from instar.data.refused_settings import (
    refuse_array_settings,
    refuse_instruction_settings,
    refuse_recording_settings,
)
from instar.data.source import Source
from instar.data.tables.given import make_frame_sources, needs_cells
from instar.data.tables.kinds import MAX_INSPECTED_TEXTS, may_be_texts
from instar.data.text_sources import as_texts, make_text_sources
from instar.errors import DataError

DATA_FORMS = (
    "(inputs, labels), (train_inputs, train_labels, test_inputs, test_labels), a torch or Hugging Face data set, a "
    "table with label_column, a pair (train, test) of data sets, arrays by name with a label, as "
    "{'input_ids': ..., 'attention_mask': ..., 'label': ...}, or one of these per split, as {'train': ..., 'test': ...}"
)
"""Forms of data objects, for error messages; labels may be None."""

_SPLIT_NAMES = ("train", "validation", "test")

InputsAndLabels = tuple[Any, Any]
"""Inputs, and labels or None."""


def read_objects(given: object, config: DataConfig) -> dict[str, Source]:
    """Return sources by split; only "train" if the data must still be split.

    Inputs and labels are copied, so that later changes of the objects have no effect.

    Args:
        given: data in one of `DATA_FORMS`.
        config: settings of inputs and labels.

    Raises:
        DataError: when the data have another form, or inputs or labels have no or several interpretations.
    """
    if (rows := rows_by_split(given)) is not None:
        return read_rows({split: open_paths(part, [Path.cwd()]) for split, part in rows.items()}, config)
    if (rows := rows_of_lists(given)) is not None:
        return read_rows(rows, config)
    refuse_instruction_settings(config, "arrays")
    by_split = _by_split(given, config)
    parts = {split: _inputs_and_labels(split, part, config) for split, part in by_split.items()}
    # numbers of a table whose label is one of its columns have names and types; an array of inputs has none
    are_tables = any(is_table(as_pandas(part)) and is_table(parts[split][0]) for split, part in by_split.items())
    names = {split: f"{split} {config.source}" if len(parts) > 1 else config.source for split in parts}
    known = {names[split]: labels for split, (_, labels) in parts.items() if labels is not None}
    labels, classes = map_labels(known, config)  # of all splits together, for one numbering
    if not classes:
        raise DataError(
            "no sample has a label, so the classes are unknown. Give labels of the test samples, as (inputs, None, "
            "test_inputs, test_labels), or list the classes in data.classes."
        )
    given_inputs = {names[split]: inputs for split, (inputs, _) in parts.items()}
    images = {name: found for name, inputs in given_inputs.items() if (found := as_images(inputs)) is not None}
    recordings = {split: found for split, (inputs, _) in parts.items() if (found := as_recordings(inputs)) is not None}
    if len(recordings) == len(parts):
        of_splits = {split: labels[name] for split, name in names.items() if name in labels}
        return read_rows(*rows_of_recordings(recordings, of_splits, classes, config))
    refuse_recording_settings(config, "images" if images else "arrays")
    texts = {name: found for name, inputs in given_inputs.items() if (found := as_texts(inputs)) is not None}
    if len(texts) == len(given_inputs) > len(images):
        refuse_array_settings(config, "texts")
        sources = make_text_sources(texts, labels, classes)
    elif isinstance(next(iter(given_inputs.values())), Mapping):
        sources = make_named_sources(given_inputs, labels, classes, config)
    elif len(images) == len(given_inputs):
        tell_repeated_files(config.source, images)
        sources = _make_image_sources(images, labels, classes, config)
    elif are_tables or any(map(needs_cells, given_inputs.values())):
        sources = make_frame_sources(given_inputs, labels, classes, config)
    else:
        sources = make_array_sources(given_inputs, labels, classes, config)
    return {split: sources[name] for split, name in names.items()}


def columns_of_objects(given: Any) -> tuple[str, ...]:
    """Return the column names of a table or of a Hugging Face data set, also by split; () for other data.

    >>> import pandas
    >>> columns_of_objects({"train": pandas.DataFrame({"path": ["a.png"]})})
    ('path',)
    """
    if (rows := rows_by_split(given)) is not None:
        return tuple(rows["train"].features)
    first = given.get("train") if isinstance(given, Mapping) else given
    first = as_pandas(first[0] if isinstance(first, list | tuple) and first else first)
    return tuple(map(str, first.columns)) if is_table(first) else ()


def _make_image_sources(
    images: Mapping[str, list[Any]],
    labels: Mapping[str, NDArray[np.int64]],
    classes: tuple[str, ...],
    config: DataConfig,
) -> dict[str, Source]:
    for name, known in labels.items():
        if len(known) != len(images[name]):
            raise DataError(f"'{name}' has {len(images[name])} inputs but {len(known)} labels.")
    found = decode_given_images(images, config)
    kept = {name: known[found.kept[name]] for name, known in labels.items()}
    sources = make_array_sources(found.arrays, kept, classes, config.model_copy(update={"layout": "CHW"}))
    return {
        name: replace(source, reading=source.reading + found.told, settings={**source.settings, **found.settings})
        for name, source in sources.items()
    }


def _by_split(given: Any, config: DataConfig) -> dict[str, Any]:
    if isinstance(given, Mapping):
        is_drawn = set(given) == {"train"} and config.test is not None  # a share of train becomes the test set
        if is_drawn or ("train" in given and "test" in given and set(given) <= set(_SPLIT_NAMES)):
            return {split: given[split] for split in _SPLIT_NAMES if split in given}
        if "train" not in given and (config.label_column or set(LABEL_NAMES) & set(given)):  # arrays by name
            return {"train": given}
        advice = " Set data.test=0.2 to draw a fifth of train as the test set." if set(given) == {"train"} else ""
        raise DataError(f"data by split need 'train' and 'test', found: {', '.join(map(repr, given)):.200}.{advice}")
    has_columns = config.input_column is not None or config.label_column is not None
    is_whole = is_table(table := as_pandas(given)) and (has_columns or _label_of(table, config) is not None)
    if isinstance(given, Dataset) or is_whole:
        return {"train": given}
    if isinstance(given, list | tuple):
        if len(given) == 4:
            _refuse_order_of_scikit_learn(given)
            return {"train": given[:2], "test": given[2:]}
        if len(given) == 2 and all(_is_split(part, has_columns=has_columns) for part in given):
            return {"train": given[0], "test": given[1]}
        if len(given) in (1, 2):
            return {"train": given}
        raise DataError(f"arrays must be {DATA_FORMS}; got {len(given)} of them.")
    raise DataError(f"data must be a name, a folder, or {DATA_FORMS}; got one {type(given).__name__}.")


def _refuse_order_of_scikit_learn(given: Sequence[Any]) -> None:
    # labels of several axes are possible, but not beside test inputs of one axis
    _, second, third, _ = (getattr(array, "shape", None) for array in given)
    if second is not None and third is not None and len(second) > 1 and len(third) == 1:
        raise DataError(
            "four arrays must be (train_inputs, train_labels, test_inputs, test_labels); these seem to have the order "
            "of scikit-learn's train_test_split: (train_inputs, test_inputs, train_labels, test_labels)."
        )


def _is_split(part: object, *, has_columns: bool) -> bool:
    if isinstance(part, Dataset) or (has_columns and is_table(as_pandas(part))):
        return True
    return isinstance(part, tuple) and len(part) == 2 and all(hasattr(array, "shape") and array.shape for array in part)


def _inputs_and_labels(split: str, part: Any, config: DataConfig) -> InputsAndLabels:
    if isinstance(part, Dataset):
        return _read_items(split, part, config)
    if isinstance(part, Mapping):
        return split_off_labels(split, part, config)
    if is_table(part := as_pandas(part)):
        return _columns_of_table(split, part, config)
    if isinstance(part, list | tuple) and len(part) in (1, 2):
        if isinstance(part[0], Mapping):
            return split_off_labels(split, part[0], config)[0], as_pandas((*part, None)[1])
        inputs, labels = map(as_pandas, (*part, None)[:2])
        # a loader may shuffle, so its samples would have no stable ids
        if isinstance(inputs, Dataset | DataLoader) or inputs is None:
            raise DataError(f"inputs must be an array; got {type(inputs).__name__}. Data may be {DATA_FORMS}.")
        _refuse_other_index(split, inputs, labels)
        return inputs, labels
    raise DataError(f"'{split}' must be (inputs, labels) or a torch data set; got {type(part).__name__}.")


def _label_of(table: Any, config: DataConfig) -> str | None:
    known = [name for name in LABEL_NAMES if name in map(str, table.columns)]
    return config.label_column or (known[0] if len(known) == 1 else None)


def _columns_of_table(split: str, table: Any, config: DataConfig) -> InputsAndLabels:
    columns, label = list(map(str, table.columns)), _label_of(table, config)
    if config.input_columns and label in columns:
        given = {name: table[name] for name in (*config.input_columns, label) if name in columns}
        return split_off_labels(split, given, config.model_copy(update={"label_column": label}))
    chosen = (config.input_column or _only_files(table) or _only_texts(table, label, config), label)
    if chosen[0] is None and columns.count(label or "") == 1:
        place = columns.index(label or "")
        others = table.iloc[:, [at for at in range(len(columns)) if at != place]]
        if not _are_all_texts(others, config):
            return others, table.iloc[:, place]  # cells
    for role, name in zip(("input", "label"), chosen, strict=True):
        if name not in columns:
            found = "none" if name is None else f"'{name}'"
            raise DataError(
                f"a table for '{split}' needs {role}_column, one of its columns ({', '.join(columns):.200}); got "
                f"{found}. Or give the inputs and the labels apart, as (inputs, labels)."
            )
    return tuple(table.iloc[:, columns.index(str(name))] for name in chosen)


def _only_files(table: Any) -> str | None:
    # as in files of rows: the only column of images or recordings is the input
    columns = {str(name): table.iloc[:, at] for at, name in enumerate(table.columns)}
    found = [name for name, values in columns.items() if as_images(values) or as_recordings(values)]
    return found[0] if len(found) == 1 else None


def _are_all_texts(table: Any, config: DataConfig) -> bool:
    found = [as_texts(table.iloc[:, at]) for at, name in enumerate(table) if str(name) not in config.leave_out]
    known = [texts[0] for texts in found if texts is not None]
    return len(known) == len(found) > 0 and any(may_be_texts(texts[:MAX_INSPECTED_TEXTS]) for texts in known)


def _only_texts(table: Any, label: str | None, config: DataConfig) -> str | None:
    # as in files of rows: the only column beside the label, if it holds texts
    left = (label, *config.leave_out)
    others = [(str(name), table.iloc[:, at]) for at, name in enumerate(table.columns) if str(name) not in left]
    is_only = len(others) == 1 and not config.column_types  # columns with a type are those of a table
    return others[0][0] if is_only and as_texts(others[0][1]) is not None else None


def _refuse_other_index(split: str, *parts: Any) -> None:
    # samples are matched by place, which is wrong where only one part was shuffled
    found = [part.index for part in parts if hasattr(part, "iloc")]  # a frame or a column of pandas
    if len(found) == 2 and not found[0].equals(found[1]) and set(found[0]) == set(found[1]):
        raise DataError(
            f"inputs and labels of '{split}' have the same index in another order. Give labels.loc[inputs.index] to "
            "match them by index, or labels.to_numpy() to match them by place."
        )


def _read_items(split: str, dataset: Dataset[Any], config: DataConfig) -> InputsAndLabels:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise DataError("a data set without a length cannot be read by index; give arrays instead.")
    inputs: list[Any] = []
    labels: list[Any] = []
    for index in range(len(dataset)):
        try:
            item = dataset[index]  # once, because a transform may be random
        except Exception as error:  # the code is the user's
            reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
            raise DataError(f"item {index} of the data set for '{split}' cannot be read: {reason}") from error
        if isinstance(item, Tensor | np.ndarray | str) or is_image(item):  # a transfer set without labels
            item = (item,)
        if not isinstance(item, list | tuple) or len(item) not in (1, 2):
            raise DataError(f"item {index} of the data set for '{split}' must be (input, label); got {item!r:.60}.")
        # copies, because some data sets write each item into the same memory
        inputs.append(_copy_input(split, item[0], config))
        labels.append(_as_python_label(item[1]) if len(item) == 2 else None)
    if not inputs:
        raise DataError(f"the data set for '{split}' has no samples.")
    if all(isinstance(one, str) or is_image(one) for one in inputs):
        return inputs, labels
    return stacked(split, [as_row(split, one) for one in inputs]), labels


def _copy_input(split: str, given: Any, config: DataConfig) -> Any:
    if isinstance(given, str):
        return given
    return shrunk(given, config) if is_image(given) else as_row(split, given).copy()


def _as_python_label(label: Any) -> Any:
    return label.tolist() if isinstance(label, Tensor | np.ndarray | np.generic) else label
