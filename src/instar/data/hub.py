"""Hugging Face data sets, from the Hub or from a local folder in the same layout, decoded once to a compact cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instar.config import DataConfig
from instar.data import decoded
from instar.data.cache import cache_folder, keep
from instar.data.opening import open_data
from instar.data.samples import Source
from instar.data.speech import is_recording
from instar.errors import DataError, nearest

if TYPE_CHECKING:
    import datasets

_NOT_TEXT = ("Image", "ClassLabel")  # features beside which a string is a name or a caption


def load_hub(config: DataConfig) -> tuple[Source, Source | None, Source]:
    """Return (train, validation or none, test) of a Hub id or a local folder.

    Columns are found by their feature types: the one column of images or recordings, and the one of class labels; or
    of text, the one column of strings. The test split is `test`, or `validation` where there is no other. Decoded once
    to one array per split in the cache.

    Args:
        config: its source is `ylecun/mnist`, or a folder of parquet, JSON, CSV, text or image files as
            `datasets.load_dataset` reads them.

    Raises:
        DataError: when the data, a split or a column cannot be found, or a file cannot be decoded.
    """
    name = config.source
    local = Path(name).is_dir()
    if local and not any(path.is_file() for path in Path(name).rglob("*")):
        raise DataError(f"the data folder '{name}' is empty; expected parquet, CSV, JSON or image files.")
    if not local and name.count("/") != 1:
        raise DataError(f"'{name}' is no folder, and a Hub id has the form 'owner/name'; {nearest(name, ['digits'])}")
    found = open_data(name)
    if config.test_where is not None:
        found = _held_out(found, config.test_where, name)
    options: list[object] = [config.input_column, config.label_column, config.image_size]
    options += [config.tokenizer] if config.tokenizer else []  # only there, so that older copies are found
    text = text_column(found["train"].features, config)
    columns = {} if text else {split: find_columns(rows.features, config) for split, rows in found.items()}
    if columns and decoded.are_recordings(found, columns):
        options.append("sound")  # older copies are without

    def write(folder: Path) -> dict[str, object]:
        if text:
            return decoded.decode_text(found, text, name, folder, config.tokenizer)
        return decoded.decode(found, columns, name, folder, config.image_size)

    folder = cache_folder() / _cache_key(name, found, *options)
    splits = decoded.read(folder, keep(folder, write, hashed_bytes=decoded.IN_MEMORY), config)
    if "test" not in splits:
        splits["test"] = splits.pop("validation")
    return splits["train"], splits.get("validation"), splits["test"]


def _held_out(splits: Mapping[str, datasets.Dataset], where: str, name: str) -> dict[str, datasets.Dataset]:
    """Return the rows whose column has the value, of all splits, as test, and the other rows of the other splits."""
    import datasets

    column, value = where.split("=", 1)
    test, others, seen = [], {}, set()
    for split, rows in splits.items():
        if column not in rows.features:
            raise DataError(f"data '{name}' has no column '{column}'; {nearest(column, rows.features)}")
        feature = rows.features[column]
        names = feature.names if isinstance(feature, datasets.ClassLabel) else None
        values = [names[found] if names and found is not None else str(found) for found in rows[column]]
        seen.update(values)
        test.append(rows.select([index for index, found in enumerate(values) if found == value]))
        others[split] = rows.select([index for index, found in enumerate(values) if found != value])
    if value not in seen:
        raise DataError(f"no row of '{name}' has {column} '{value}'; {nearest(value, seen)}")
    if not len(others["train"]):
        raise DataError(f"all training rows of '{name}' have {column} '{value}', and none is left.")
    return others | {"test": datasets.concatenate_datasets(test)}


def _cache_key(name: str, dataset: Mapping[str, datasets.Dataset], *options: object) -> str:
    """Return a name for the decoded copy that changes with the data and with how they are decoded."""
    # the library fingerprints each split from its files' contents or modification times
    states = {split: rows._fingerprint for split, rows in dataset.items()}
    text = json.dumps([decoded.VERSION, states, *map(repr, options)], sort_keys=True)
    return f"{Path(name).name}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def text_column(features: Any, config: DataConfig) -> str | None:
    """Return the column of text whose words are inputs and labels; none where the data are no text.

    Where there is no column of images, recordings or class labels it is the one of strings, or the named one;
    elsewhere the one that is named as the column of inputs and of labels.
    """
    strings = [key for key, feature in features.items() if getattr(feature, "dtype", "") in ("string", "large_string")]
    named = config.input_column
    if config.label_column is not None:
        return named if named == config.label_column and named in strings else None
    if any(is_recording(feature) or type(feature).__name__ in _NOT_TEXT for feature in features.values()):
        return None
    if named is not None:
        return named if named in strings else None
    return strings[0] if len(strings) == 1 else None


def find_columns(features: Any, config: DataConfig) -> tuple[str, str]:
    """Find the columns of inputs and labels by their feature types.

    Raises:
        DataError: when a named column is missing, or none or several fit.
    """
    from datasets import ClassLabel, Image

    inputs = [key for key, feature in features.items() if isinstance(feature, Image) or is_recording(feature)]
    labels = [key for key, feature in features.items() if isinstance(feature, ClassLabel)]
    found, name = [], config.source
    for role, wanted, candidates in (("input", config.input_column, inputs), ("label", config.label_column, labels)):
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
            kind = "images or recordings" if role == "input" else "class labels"
            raise DataError(
                f"data '{name}' has no column of {kind} that could be the {role}; "
                f"its columns are: {', '.join(features)}; name one by {role}_column."
            )
    return found[0], found[1]
