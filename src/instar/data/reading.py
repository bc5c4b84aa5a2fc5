"""Choice of the input and label columns of a data set, by their types or by name."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from instar.config import DataConfig
from instar.data.columns.cell_rows import CELLS
from instar.data.images import number_type
from instar.data.instructions.forms import choose_columns
from instar.data.labels import LABEL_NAMES
from instar.data.media_folders import FOLDER_READERS
from instar.data.media_paths import MEDIA
from instar.data.opening import join_names
from instar.data.sound import is_recording
from instar.data.tables.kinds import MAX_INSPECTED_TEXTS, may_be_texts
from instar.data.word_sources import choose_word_columns
from instar.errors import DataError, nearest

if TYPE_CHECKING:
    import datasets

ColumnKind = Literal[
    "images",
    "recordings",
    "arrays",
    "text",
    "labelled texts",
    "labelled words",
    "instructions",
    "several columns",
    "cells",
]

_MEDIA = re.compile(
    r"\.(png|jpe?g|webp|bmp|gif|tiff?|p[pgb]m|avif|wav|flac|mp3|ogg|opus|aiff?|m4a|mp4)$", re.IGNORECASE
)
_NUM_INSPECTED_ROWS = 100  # first rows whose values tell the type of a column


@dataclass(frozen=True)
class Reading:
    """The columns of a data set and the type of its inputs.

    Args:
        kind: type of the inputs; the labels of text are its own tokens.
        inputs: column of the inputs; the first of several.
        labels: column of the labels.
    """

    kind: ColumnKind
    inputs: str
    labels: str

    def cast(self, splits: Mapping[str, datasets.Dataset]) -> dict[str, datasets.Dataset]:
        """Return the rows with the input column cast to the feature type of its kind, without decoding the content."""
        import datasets

        types = {"images": (datasets.Image, "mode"), "recordings": (datasets.Audio, "sampling_rate")}
        if self.kind not in types:
            return dict(splits)
        feature, option = types[self.kind]
        found = {}
        for split, rows in splits.items():
            # without decoding, so that an error names the row and the file, and recordings need no torchcodec
            kept = {option: getattr(rows.features[self.inputs], option, None)}
            found[split] = rows.cast_column(self.inputs, feature(decode=False, **kept))
        return found


def choose_reading(splits: Mapping[str, datasets.Dataset], config: DataConfig) -> Reading:
    """Choose the input and label columns.

    The only column of images or recordings is the input, and the only column of class labels is the label. A data set
    with one column of strings is text for a language model, and one with prompts and completions, or messages, has
    instructions. `input_column` and `label_column` choose other columns:
    any labels, lists of numbers as inputs, or one column for both to read text beside other columns. `input_columns`
    names several inputs.

    Raises:
        DataError: when a chosen column is missing, or none or several readings are possible; names the settings.
    """
    rows, name = splits["train"], config.source
    features: Mapping[str, Any] = rows.features
    for role, wanted in (("input", config.input_column), ("label", config.label_column)):
        for split, other in splits.items():  # each split has its own files, and so its own columns
            if wanted is not None and wanted not in other.features:
                where = "" if wanted not in features else f" in its split {split}"
                raise DataError(
                    f"data '{name}' has no {role} column '{wanted}'{where}; {nearest(wanted, other.features)}"
                )
    from datasets import ClassLabel, Image

    classes = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
    if columns := choose_columns(features, lambda column: _first_value(rows, column), config):
        return Reading("instructions", columns[0], columns[-1])
    words = choose_word_columns(rows, config)
    if labelled := words or find_labelled_texts(rows, classes, config):
        return Reading("labelled words" if words else "labelled texts", *labelled)
    if config.input_columns:
        labels = config.label_column or _only_candidate("label", classes, rows, config)
        return Reading("several columns", config.input_columns[0], labels)
    if text := _text_column(rows, config):
        return Reading("text", text, text)
    kinds = {column: _media_kind(rows, column) for column in features}
    if _is_table(rows, kinds, config):
        named = classes or [column for column in LABEL_NAMES if column in features]
        return Reading("cells", CELLS, config.label_column or _only_candidate("label", named, rows, config))
    if _has_plain_columns(rows, kinds, config) and not all(_is_string(feature) for feature in features.values()):
        raise DataError(
            f"data '{name}' are a table, and no column is known to be the label: set data.label_column to the column "
            f"to predict; its columns are: {join_names(features, 20)}.{_tell_strings(rows)} To give columns of "
            "numbers to a network by their names, also set data.input_columns."
        )
    given = config.input_column or _only_candidate(
        "input", [column for column in features if kinds[column]], rows, config
    )
    if isinstance(getattr(features[given], "feature", None), Image):
        raise DataError(f"column '{given}' of '{name}' contains lists of images; a sample must have one image.")
    if kinds[given] is None and number_type(features[given]) is None:
        raise DataError(
            f"column '{given}' of '{name}' contains neither images nor recordings nor lists of numbers, so it cannot "
            f"be the input.{_other_readings(rows)}"
        )
    labels = config.label_column or _only_candidate("label", classes, rows, config)
    if given == labels:
        raise DataError(
            f"column '{given}' of '{name}' cannot be both the input and the label. Choose another one with "
            f"input_column or label_column; columns: {join_names(features, 20)}."
        )
    return Reading(kinds[given] or "arrays", given, labels)


def find_labelled_texts(rows: datasets.Dataset, classes: list[str], config: DataConfig) -> tuple[str, str] | None:
    """Return the column of texts, or of the first texts of pairs, and that of their labels; None for other data.

    Raises:
        DataError: when several columns may be the texts.
    """
    features, named = rows.features, (*filter(None, [config.input_column]), *config.input_columns)
    if len(named) > 2 or not all(_is_string(features[name]) and not _are_files(rows, name) for name in named):
        return None
    if config.input_column is not None and config.input_column == config.label_column:  # text for a language model
        return None
    labels = [config.label_column] if config.label_column else classes or [n for n in LABEL_NAMES if n in features]
    if not labels:
        return None
    label = _only_candidate("label", labels, rows, config)
    text = named[0] if named else _only_text(rows, label, config)
    return None if text is None else (text, label)


def _only_text(rows: datasets.Dataset, label: str, config: DataConfig) -> str | None:
    features = rows.features
    held_out = config.test_where.split("=", 1)[0] if config.test_where else None
    others = [column for column in features if column not in (label, held_out, *config.columns, *config.leave_out)]
    texts = [column for column in others if _is_string(features[column]) and not _are_files(rows, column)]
    if any(_media_kind(rows, column) or number_type(features[column]) for column in others) or not texts:
        return None
    if others != texts or config.column_types:  # a table
        return None
    if len(texts) > 1 and any(may_be_texts(rows[:MAX_INSPECTED_TEXTS][column]) for column in texts):
        raise DataError(
            f"data '{config.source}' have several columns beside the label '{label}': {join_names(others, 20)}; choose "
            f"the texts with data.input_column={texts[0]}, or both texts of pairs with data.input_columns. Columns of "
            "categories are a table, of which data.leave_out leaves out the texts."
        )
    return texts[0] if len(texts) == 1 else None


def _has_plain_columns(rows: datasets.Dataset, kinds: Mapping[str, object], config: DataConfig) -> bool:
    """Return whether the rows are those of a table, with a label or without."""
    features = rows.features
    read = [column for column in features if column not in config.leave_out]
    # lists of numbers and media are inputs by themselves, and names of files are no categories
    is_plain = not any(kinds[column] or not hasattr(features[column], "dtype") for column in read)
    names_files = any(_is_string(features[column]) and _are_files(rows, column) for column in read)
    return config.input_column is None and is_plain and not names_files and len(features) > 1


def _is_table(rows: datasets.Dataset, kinds: Mapping[str, object], config: DataConfig) -> bool:
    features = rows.features
    has_label = config.label_column is not None or any(hasattr(feature, "names") for feature in features.values())
    has_label = has_label or any(name in features for name in LABEL_NAMES)
    return has_label and _has_plain_columns(rows, kinds, config)


def _text_column(rows: datasets.Dataset, config: DataConfig) -> str | None:
    # the words of text are inputs and labels, so whoever names columns names the same one twice
    if config.input_column is not None or config.label_column is not None:
        same = config.input_column == config.label_column
        return config.input_column if same and _is_string(rows.features[config.input_column]) else None
    held_out = config.test_where.split("=", 1)[0] if config.test_where else None
    columns = [str(column) for column in rows.features if column != held_out]
    # beside another column, a string may be a text with a label or one of two texts, which a corpus would drop
    if len(columns) != 1 or not _is_string(rows.features[columns[0]]):
        return None
    if _are_files(rows, columns[0]):
        raise DataError(
            f"column '{columns[0]}' of '{config.source}' contains file names, not text.{_other_readings(rows)}"
        )
    return columns[0]


def _only_candidate(role: str, candidates: list[str], rows: datasets.Dataset, config: DataConfig) -> str:
    name = config.source
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise DataError(
            f"data '{name}' has several possible {role} columns ({', '.join(candidates)}); choose one with "
            f"{role}_column."
        )
    kind = "images or recordings" if role == "input" else "class labels"
    if role == "label" and len(rows.features) == 1 and rows.builder_name in FOLDER_READERS:
        raise DataError(
            f"the folders of '{name}' name no classes, because its files are in one folder, or at different depths. "
            "Put the files of each class into a folder of its name, and all these folders side by side."
        )
    raise DataError(
        f"data '{name}' has no column of {kind} for the {role}; its columns are: {join_names(rows.features, 20)}; "
        f"choose one with {role}_column.{_other_readings(rows) if role == 'input' else ''}"
    )


def _other_readings(rows: datasets.Dataset) -> str:
    return f"{_tell_strings(rows)} To read a table, set data.label_column; data.input_columns names columns of numbers."


def _tell_strings(rows: datasets.Dataset) -> str:
    """Return sentences about columns of file names and of texts, each after a space."""
    strings = [column for column in rows.features if _is_string(rows.features[column])]
    files = [column for column in strings if _are_files(rows, column)]
    told = ""
    names = (
        [value for value in rows.select_columns(files[:1])[:_NUM_INSPECTED_ROWS][files[0]] if value] if files else []
    )
    kind = next((noun for noun, is_kind in MEDIA.items() if names and all(map(is_kind, names))), None)
    if kind:
        told += (
            f" Column '{files[0]}' names {kind} that do not exist, such as '{names[0]}': paths are relative to the "
            "file of rows, or in Python to the working directory."
        )
    elif files:
        told += (
            f" Column '{files[0]}' contains file names: put the files into one folder per class, or beside a "
            "metadata.csv that calls this column file_name."
        )
    if texts := [column for column in strings if column not in files]:
        told += (
            f" To train a language model on text without labels, set data.input_column and data.label_column to the "
            f"same column ({join_names(texts)})."
        )
    return told


def _media_kind(rows: datasets.Dataset, column: str) -> Literal["images", "recordings"] | None:
    from datasets import Image

    feature = rows.features[column]
    if isinstance(feature, Image):
        return "images"
    # Parquet files of other libraries hold images and recordings as plain bytes, without saying which
    is_bytes = getattr(feature, "dtype", "") in ("binary", "large_binary")
    if is_bytes or (isinstance(feature, dict) and set(feature) == {"bytes", "path"}):
        content = _first_content(rows, column)
        if _is_image(content):
            return "images"
        return "recordings" if not is_bytes or _is_sound(content) else None
    return "recordings" if is_recording(feature) else None


def _first_value(rows: datasets.Dataset, column: str) -> Any:
    return rows.select_columns([column])[0][column] if len(rows) else None


def _first_content(rows: datasets.Dataset, column: str) -> bytes:
    for row in itertools.islice(rows.select_columns([column]), _NUM_INSPECTED_ROWS):
        value = row[column]
        content = value.get("bytes") if isinstance(value, dict) else value
        if content:
            return bytes(content)
    return b""


def _is_image(content: bytes) -> bool:
    from PIL import Image

    try:
        Image.open(io.BytesIO(content))  # reads the header only
    except Image.DecompressionBombError:  # an image, though one too large; decoding names its row
        return True
    except Exception:  # Pillow raises various errors for bytes that are not an image
        return False
    return True


def _is_sound(content: bytes) -> bool:
    # FLAC, Ogg, WAV and AIFF; MP3 with a tag, or with its first frame
    return content.startswith((b"fLaC", b"OggS", b"RIFF", b"FORM", b"ID3", b"\xff\xfb", b"\xff\xf3"))


def _is_string(feature: Any) -> bool:
    return getattr(feature, "dtype", "") in ("string", "large_string")


def _are_files(rows: datasets.Dataset, column: str) -> bool:
    values = [value for value in rows.select_columns([column])[:_NUM_INSPECTED_ROWS][column] if value]
    return bool(values) and all(_MEDIA.search(value) for value in values)
