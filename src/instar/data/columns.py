"""Which columns of a data set are inputs and labels: found by their types where one reading is possible, else named."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from instar.config import DataConfig
from instar.data.opening import listed
from instar.data.speech import is_recording
from instar.errors import DataError, nearest

if TYPE_CHECKING:
    import datasets

Kind = Literal["images", "recordings", "arrays", "text"]

_MEDIA = re.compile(
    r"\.(png|jpe?g|webp|bmp|gif|tiff?|p[pgb]m|avif|wav|flac|mp3|ogg|opus|aiff?|m4a|mp4)$", re.IGNORECASE
)
_LOOKED_AT = 100  # rows from the first on, where values tell what a column holds


@dataclass(frozen=True)
class Reading:
    """What a data set is read as.

    Args:
        kind: of the inputs; labels of text are its own tokens.
        inputs: their column.
        labels: their column.
    """

    kind: Kind
    inputs: str
    labels: str

    def cast(self, splits: Mapping[str, datasets.Dataset]) -> dict[str, datasets.Dataset]:
        """Return the rows with a column of inputs whose type says what it holds, with content that is not decoded."""
        import datasets

        feature = {"images": datasets.Image, "recordings": datasets.Audio}.get(self.kind)
        if feature is None:
            return dict(splits)
        return {split: rows.cast_column(self.inputs, feature(decode=False)) for split, rows in splits.items()}


def choose_reading(splits: Mapping[str, datasets.Dataset], config: DataConfig) -> Reading:
    """Return how the splits are read.

    A column of images or recordings is the input, and one of class labels the label, where there is one of each. A
    single column of strings is text for a language model. All else is named by `input_column` and `label_column`:
    other columns as labels, lists of numbers as inputs, and one column as both for text beside other columns.

    Raises:
        DataError: when a named column is missing, or none or several readings are possible; names the settings.
    """
    rows, name = splits["train"], config.source
    features: Mapping[str, Any] = rows.features
    for role, wanted in (("input", config.input_column), ("label", config.label_column)):
        for split, other in splits.items():
            if wanted is not None and wanted not in other.features:
                where = "" if wanted not in features else f" in its split {split}"
                raise DataError(
                    f"data '{name}' has no {role} column '{wanted}'{where}; {nearest(wanted, other.features)}"
                )
    if text := _text_column(rows, config):
        return Reading("text", text, text)
    kinds = {column: _media(rows, column) for column in features}
    from datasets import ClassLabel

    given = config.input_column or _the_one("input", [column for column in features if kinds[column]], rows, config)
    if kinds[given] is None and _is_scalar(features[given]):
        raise DataError(
            f"column '{given}' of '{name}' holds neither images nor recordings nor lists of numbers, so it cannot be "
            f"the input.{_other_readings(rows)}"
        )
    classes = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
    labels = config.label_column or _the_one("label", classes, rows, config)
    return Reading(kinds[given] or "arrays", given, labels)


def _text_column(rows: datasets.Dataset, config: DataConfig) -> str | None:
    """Return the column of text whose words are inputs and labels; none where the data are no text."""
    if config.input_column is not None or config.label_column is not None:
        same = config.input_column == config.label_column
        return config.input_column if same and _is_string(rows.features[config.input_column]) else None
    held_out = config.test_where.split("=", 1)[0] if config.test_where else None
    columns = [str(column) for column in rows.features if column != held_out]
    if len(columns) != 1 or not _is_string(rows.features[columns[0]]):
        return None
    if _are_files(rows, columns[0]):
        raise DataError(
            f"column '{columns[0]}' of '{config.source}' holds names of files, which is no text.{_other_readings(rows)}"
        )
    return columns[0]


def _the_one(role: str, candidates: list[str], rows: datasets.Dataset, config: DataConfig) -> str:
    """Return the only candidate.

    Raises:
        DataError: when there is none, or several.
    """
    name = config.source
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise DataError(
            f"data '{name}' has several {role} columns ({', '.join(candidates)}); name one by {role}_column."
        )
    kind = "images or recordings" if role == "input" else "class labels"
    raise DataError(
        f"data '{name}' has no column of {kind} that could be the {role}; its columns are: "
        f"{listed(rows.features, 20)}; name one by {role}_column.{_other_readings(rows) if role == 'input' else ''}"
    )


def _other_readings(rows: datasets.Dataset) -> str:
    """Return in sentences how data without images or recordings can be read."""
    strings = [column for column in rows.features if _is_string(rows.features[column])]
    files = [column for column in strings if _are_files(rows, column)]
    told = ""
    if files:
        told += (
            f" Column '{files[0]}' names files: put these into one folder per class, or beside a metadata.csv in which "
            "that column is called file_name."
        )
    if texts := [column for column in strings if column not in files]:
        told += (
            f" Set data.input_column and data.label_column to the same column ({listed(texts)}) to read its words for "
            "a language model, without any labels."
        )
    return f"{told} Texts with labels and tables cannot be learnt from yet."


def _media(rows: datasets.Dataset, column: str) -> Literal["images", "recordings"] | None:
    """Return what a column of images or recordings holds; bytes without a type are told apart by their beginning."""
    from datasets import Image

    feature = rows.features[column]
    if isinstance(feature, Image):
        return "images"
    is_bytes = getattr(feature, "dtype", "") in ("binary", "large_binary")
    if is_bytes or (isinstance(feature, dict) and set(feature) == {"bytes", "path"}):
        content = _first_content(rows, column)
        if _is_image(content):
            return "images"
        return "recordings" if not is_bytes or _is_sound(content) else None
    return "recordings" if is_recording(feature) else None


def _first_content(rows: datasets.Dataset, column: str) -> bytes:
    for row in itertools.islice(rows.select_columns([column]), _LOOKED_AT):
        value = row[column]
        content = value.get("bytes") if isinstance(value, dict) else value
        if content:
            return bytes(content)
    return b""


def _is_image(content: bytes) -> bool:
    from PIL import Image

    try:
        Image.open(io.BytesIO(content))
    except Image.DecompressionBombError:
        return True
    except Exception:  # whatever Pillow raises of bytes that are no image
        return False
    return True


def _is_sound(content: bytes) -> bool:
    return (
        content[:4] in (b"fLaC", b"OggS", b"RIFF", b"FORM")
        or content[:3] == b"ID3"
        or content[:2] in (b"\xff\xfb", b"\xff\xf3")
    )


def _is_string(feature: Any) -> bool:
    return getattr(feature, "dtype", "") in ("string", "large_string")


def _is_scalar(feature: Any) -> bool:
    import datasets

    return isinstance(feature, datasets.Value | datasets.ClassLabel)


def _are_files(rows: datasets.Dataset, column: str) -> bool:
    """Return whether all first values of a column of strings are names of images or recordings."""
    values = [value for value in rows[:_LOOKED_AT][column] if value]
    return bool(values) and all(_MEDIA.search(value) for value in values)
