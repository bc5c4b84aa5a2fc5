"""New texts in files and data frames, for the model of a run that reads texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instar.data.columns.texts import TEXT, TEXT_PAIR
from instar.data.labels import LABEL_NAMES
from instar.data.opening import TABLE_SUFFIXES, is_table_file, join_names, open_data
from instar.data.tables.frames import as_arrow, is_frame
from instar.data.text_folders import read_text_file
from instar.errors import DataError, MismatchError, nearest, say
from instar.runs.run import Run
from instar.stages.new_texts import number_of_texts

_TYPES_OF_TEXTS = ("string", "large_string", "string_view", "null")


def open_texts(run: Run, given: Any) -> Any:
    """Return the texts of a file or a data frame as a list of strings, or of pairs.

    A CSV, JSON lines or Parquet file, and a data frame, hold a text in each row. A `.txt` file holds one in each line,
    or one alone if the run was trained on a folder of such files. Anything else is returned unchanged, also for a run
    of another kind.

    Args:
        run: run whose model may read texts.
        given: inputs.

    Raises:
        DataError: when a file cannot be read, or a column holds no texts.
        MismatchError: when a file does not exist, several are given, or no column is sure to be the texts.
    """
    if not (number := number_of_texts(run)):
        return given
    if is_frame(given):
        return _texts_of_rows(run, as_arrow(given, "new texts"), "new texts")
    files = _list_files(run, given)
    if not files:
        return given
    if all(Path(file).suffix.lower() == ".txt" for file in files):
        if number > 1:
            raise MismatchError(f"'{run.path}' takes pairs of texts, which a .txt file cannot hold; give a CSV file.")
        if _reads_whole_files(run):
            return [read_text_file(Path(file)) for file in files]
    if len(files) > 1:
        raise MismatchError(f"'{run.path}' takes one file with many texts, got {len(files)}; join them.")
    [file] = files
    if is_table_file(file):
        rows = open_data(file, needs_test=False)["train"].with_format("arrow")[:]
        return _texts_of_rows(run, rows, Path(file).name)
    lines = read_text_file(Path(file)).removesuffix("\n").split("\n")
    say(f"instar: each line of '{file}' is a text: {len(lines):,} texts.")
    return lines


def _list_files(run: Run, given: Any) -> list[str]:
    items = [given] if isinstance(given, str | os.PathLike) else list(given) if isinstance(given, list | tuple) else []
    if not items or not all(isinstance(one, str | os.PathLike) for one in items):
        return []
    names = [str(one) for one in items]
    # a misspelt name would be predicted as a text
    are_named = all(isinstance(one, os.PathLike) or Path(one).suffix.lower() in TABLE_SUFFIXES for one in items)
    are_files = [os.path.isfile(name) for name in names]
    if are_named and not all(are_files):
        missing = names[are_files.index(False)]
        raise MismatchError(f"'{run.path}' takes texts or files of texts, and there is no file '{missing}'.")
    readable = all(is_table_file(name) or Path(name).suffix.lower() == ".txt" for name in names)
    return names if readable and all(are_files) else []


def _reads_whole_files(run: Run) -> bool:
    # rows with labels are in no .txt file, so a folder that has some holds one text in each
    source = Path(run.config["data"]["source"])
    return source.is_dir() and any(source.rglob("*.txt")) and not any(map(is_table_file, map(str, source.iterdir())))


def _texts_of_rows(run: Run, table: Any, name: str) -> list[Any]:
    columns = [_read_column(table, column, name) for column in _choose_columns(run, table, name)]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _choose_columns(run: Run, table: Any, name: str) -> Sequence[str]:
    settings, number = run.config["data"], number_of_texts(run)
    known = list(settings.get("input_columns") or filter(None, [settings.get("input_column")]))
    if known:
        if missing := [column for column in known if column not in table.column_names]:
            raise MismatchError(
                f"'{name}' has no column '{missing[0]}', which '{run.path}' was trained on; "
                f"{nearest(missing[0], table.column_names)}"
            )
        return known
    usual = (TEXT, TEXT_PAIR)[:number]
    if set(usual) <= set(table.column_names):
        return usual
    labels = {settings.get("label_column"), *LABEL_NAMES}
    found = [field.name for field in table.schema if str(field.type) in _TYPES_OF_TEXTS and field.name not in labels]
    if len(found) == number == 1:
        return found
    raise MismatchError(
        f"'{name}' needs {'a column of texts called' if number == 1 else 'the columns'} {' and '.join(usual)}; its "
        f"columns of texts: {join_names(found, 20) or 'none'}."
    )


def _read_column(table: Any, column: str, name: str) -> list[str]:
    kind = str(table.schema.field(column).type)
    if kind not in _TYPES_OF_TEXTS and not kind.startswith("dictionary<values=string"):  # categories of pandas
        raise DataError(f"column '{column}' of '{name}' holds {kind}, and texts are expected.")
    return [text or "" for text in table[column].to_pylist()]
