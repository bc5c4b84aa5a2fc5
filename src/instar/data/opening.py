"""Opening of data sets with Hugging Face's library, from the Hub or from a local folder in the same layout."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instar.data.csv_labels import choose_options, keep_as_text, refuse_odd_rows, tell_changed_labels
from instar.data.media_folders import FOLDER_READERS, refuse_shared_files, tell_unread_files
from instar.data.media_paths import open_paths, tell_repeated_files
from instar.data.media_tables import tell_faults_of_tables
from instar.data.text_folders import read_class_folders
from instar.errors import DataError, shortened

if TYPE_CHECKING:
    import datasets

TABLE_SUFFIXES = frozenset([".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".txt"])
"""Suffixes of files of rows."""

_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), ("json", {})),
    ".parquet": ("parquet", {}),
}  # of the library, and their options, for the suffix of a single file
_MAX_BLANK_BYTES = 1000  # of a file without rows


def open_data(
    name: str,
    *,
    needs_test: bool = True,
    tells: bool = False,
    labels: str | None = None,
    are_classes: bool = False,
    is_corpus: bool = False,
    as_text: Collection[str] = (),
) -> dict[str, datasets.Dataset]:
    """Return the rows of a Hub id or a local folder by split: train, and validation or test or both.

    No code of the data set runs, because the library has not supported data set scripts since version 4.

    Args:
        name: Hub id or local folder.
        needs_test: refuse data without a test and a validation split.
        tells: say on stderr which files of a folder are not read.
        labels: column of the labels, which a CSV file may write with leading zeros; None: not known.
        are_classes: whether each distinct label is a class.
        is_corpus: whether text files are one text, whatever folders they are in.
        as_text: columns whose cells in CSV files stay text as they are written, such as "007" and "NA".

    Raises:
        DataError: when the data cannot be read, have files of several types for a split, or lack a split.
    """
    import datasets

    # the library shows progress bars and warnings for steps that we report ourselves, and logs errors that it also
    # raises, with the whole content of a cell
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)
    # the absolute path, because the library mistakes a folder called "text" or "csv" for one of its readers
    where = str(Path(name).absolute()) if os.path.exists(name) else name
    try:
        builder, files = _find_builder(where)
        if builder.name == "csv" and os.path.exists(where):
            every = list(chain.from_iterable(files.values()))
            refuse_odd_rows(every, builder.config.sep)
            options = choose_options(every, labels, builder.config.sep, are_classes=are_classes)
            if options := keep_as_text(options, as_text, every[0], builder.config.sep):
                builder, files = _find_builder(where, **options)
        if builder.name == "audiofolder":  # the library's own feature needs torchcodec even to store a path
            builder.BASE_FEATURE = _recording()
        are_texts = builder.name == "text" and os.path.isdir(where) and not is_corpus
        found = read_class_folders(name, Path(where), files) if are_texts else None
        if found is None:
            found = _prepare(builder, where)
    except DataError:
        raise
    except Exception as error:  # the library raises a dozen classes, for connections and for parsing
        is_parsing = isinstance(error, datasets.exceptions.DatasetGenerationError)
        told = error.__cause__ if is_parsing and error.__cause__ else error  # the cause of a parsing error is specific
        raise DataError(f"data '{name}' cannot be loaded: {_name_empty_file(told, Path(where))}.") from None
    if builder.name in FOLDER_READERS and Path(where).is_dir():
        _look_at_folder(name, Path(where), builder.name, files, found, labels, tells=tells)
    has_test = bool({"test", "validation"} & set(found)) or not needs_test
    if "train" not in found or not has_test:
        advice = " Set data.test=0.2 to draw a fifth of train as the test set." if "train" in found else ""
        raise DataError(f"data '{name}' needs the splits train and test; found: {', '.join(found)}.{advice}")
    if Path(where).is_dir():
        # notes beside images or recordings are no text to train on
        kinds = TABLE_SUFFIXES - {".txt"} if builder.name in FOLDER_READERS else TABLE_SUFFIXES
        _refuse_other_kinds(name, Path(where), files, kinds)
        _refuse_other_class_names(name, files)
    found = {split: found[split] for split in ("train", "validation", "test") if split in found}
    return _open_files(name, Path(where), files, found, tells=tells) if os.path.exists(where) else found


def _look_at_folder(
    name: str, folder: Path, reader: str, files: Mapping[str, Any], found: Any, labels: str | None, *, tells: bool
) -> None:
    refuse_shared_files(name, folder, files)
    if tells:
        tell_changed_labels(folder, labels)
        read = (path for paths in files.values() for path in paths)
        tell_unread_files(name, folder, read, folder.rglob("*"), FOLDER_READERS[reader])
        tell_faults_of_tables(name, folder, files, found, FOLDER_READERS[reader])


def _open_files(
    name: str, where: Path, files: Mapping[str, Any], found: dict[str, datasets.Dataset], *, tells: bool
) -> dict[str, datasets.Dataset]:
    # paths are relative to the file that holds them, or to the folder of the data
    folders = {split: {Path(path).parent: None for path in files.get(split, ())} for split in found}
    opened = {split: open_paths(rows, [*folders[split], where]) for split, rows in found.items()}
    if tells:
        _tell_repeated_files(name, found, opened)
    return opened


def _prepare(builder: Any, where: str) -> Any:
    import datasets

    try:
        builder.download_and_prepare()
    except datasets.exceptions.DatasetGenerationError:
        if builder.name != "csv":
            raise
        # the library takes the types of the first 10,000 rows for those of all, and a number may have decimals later
        options = {name: getattr(builder.config, name) for name in ("converters", "keep_default_na", "na_values")}
        builder, _ = _find_builder(where, **options, chunksize=sys.maxsize)
        builder.download_and_prepare()
    return builder.as_dataset()


def _name_empty_file(error: BaseException, where: Path) -> str:
    """Return an error in words, with the path of the empty table that pandas does not name."""
    import pandas

    if isinstance(error, pandas.errors.EmptyDataError):
        for file in sorted(where.rglob("*.[ct]sv")) if where.is_dir() else [where]:
            if file.stat().st_size <= _MAX_BLANK_BYTES and not file.read_bytes().strip():
                return f"file '{file}' is empty"
    return shortened(error)


def _find_builder(where: str, **options: Any) -> tuple[Any, dict[str, list[str]]]:
    import datasets

    if is_table_file(where):
        reader, own = _READERS[Path(where).suffix.lower()]
        builder = datasets.load_dataset_builder(reader, data_files={"train": [where]}, **own, **options)
    else:
        builder = datasets.load_dataset_builder(where, **options)
    files = {str(split): list(map(str, paths)) for split, paths in (builder.config.data_files or {}).items()}
    return builder, files


def _tell_repeated_files(
    name: str, before: Mapping[str, datasets.Dataset], opened: Mapping[str, datasets.Dataset]
) -> None:
    # once, because the library makes the features of rows again whenever they are asked for
    features = {split: (rows.features, opened[split].features) for split, rows in before.items()}
    for column in features["train"][0]:
        if all(given[column] != found[column] for given, found in features.values()):
            paths = {split: [file and file["path"] for file in rows[column]] for split, rows in opened.items()}
            tell_repeated_files(name, paths)


def is_table_file(name: str) -> bool:
    """Return whether data are a single file of rows.

    >>> is_table_file("missing.csv")
    False
    """
    return os.path.isfile(name) and Path(name).suffix.lower() in _READERS


def column_names(name: str) -> tuple[str, ...]:
    """Return the column names of a Hub id or a local folder."""
    return tuple(open_data(name, needs_test=False)["train"].features)


def rows_by_split(given: object) -> dict[str, datasets.Dataset] | None:
    """Return the rows of Hugging Face data set objects by split; None for other objects.

    Raises:
        DataError: when the data sets stream, or have no train split.
    """
    library = sys.modules.get("datasets")  # an object of the library exists only if it was imported
    if library is None:
        return None
    if isinstance(given, library.Dataset):
        given = {"train": given}
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(rows, library.Dataset) for rows in given):
        given = {"train": given[0], "test": given[1]}
    parts = list(given.values()) if isinstance(given, Mapping) else [given]
    if any(isinstance(rows, library.IterableDataset | library.IterableDatasetDict) for rows in parts):
        raise DataError("a streaming data set cannot be read by index; load it with streaming=False.")
    if not isinstance(given, Mapping) or not parts or not all(isinstance(rows, library.Dataset) for rows in parts):
        return None
    if "train" not in given:
        raise DataError(f"the data set needs a split 'train', found: {', '.join(map(str, given)):.200}.")
    return {split: _without_format(given[split]) for split in ("train", "validation", "test") if split in given}


def _without_format(rows: datasets.Dataset) -> datasets.Dataset:
    format_type = rows.format["type"]
    if format_type == "custom":  # a function of the user, which may return other values at every access
        raise DataError(
            "the data set has a transform (set_transform or with_transform), which Instar does not apply. Apply it "
            "once with map, or remove it with reset_format; random changes belong into views."
        )
    return rows if format_type is None else rows.with_format(None)  # values are then Python objects


def _recording() -> type[Any]:
    import datasets

    @dataclass
    class Recording(datasets.Audio):  # type: ignore[misc]  # the library has no types
        decode: bool = False

        def encode_example(self, value: Any) -> dict[str, Any]:
            if isinstance(value, str | Path):  # the path stays, so that errors can name the file
                return {"bytes": None, "path": str(value)}
            return {"bytes": value.get("bytes"), "path": value.get("path")}

    return Recording


def _refuse_other_kinds(name: str, folder: Path, files: Mapping[str, list[str]], suffixes: Collection[str]) -> None:
    from datasets.data_files import DataFilesDict, get_data_patterns

    read = {Path(path).resolve() for paths in files.values() for path in paths}
    card = folder / "README.md"
    if card.is_file() and "data_files" in card.read_text(errors="replace"):  # the card lists the files of the data set
        return
    others = {path.resolve() for path in folder.rglob("*") if path.suffix.lower() in suffixes} - read
    if not others:
        return
    # the library reads only the most frequent type; a file of another type that is named like a split was meant too
    matched = DataFilesDict.from_patterns(get_data_patterns(str(folder)), base_path=str(folder))
    for path in sorted(Path(str(path)).resolve() for split in files for path in matched.get(split, [])):
        if path in others:
            raise DataError(
                f"data '{name}' may be in '{path.name}' or in '{min(read).name}', and only one type of file is read; "
                "move the files that do not belong to the data out of the folder, or give the path of the file."
            )


def _refuse_other_class_names(name: str, files: Mapping[str, list[str]]) -> None:
    import datasets
    import pyarrow.parquet

    # the library gives the class numbers of all files the names in the first file
    first: dict[str, tuple[str, list[str]]] = {}
    for path in (path for paths in files.values() for path in paths if path.endswith(".parquet")):
        features = datasets.Features.from_arrow_schema(pyarrow.parquet.read_schema(path))
        for column, feature in features.items():
            if isinstance(feature, datasets.ClassLabel):
                other, names = first.setdefault(column, (path, feature.names))
                if names != feature.names:
                    raise DataError(
                        f"all files of '{name}' must have the same classes in the same order; column '{column}' has "
                        f"{join_names(names)} in '{Path(other).name}' and {join_names(feature.names)} in "
                        f"'{Path(path).name}'."
                    )


def join_names(names: Any, most: int = 8) -> str:
    """Join names with commas, and leave some out if there are more than `most`.

    >>> join_names(["a", "b", "c"], most=2)
    'a, b, ... (3)'
    """
    names = [str(one) for one in names]
    return ", ".join(names if len(names) <= most else [*names[:most], f"... ({len(names)})"])
