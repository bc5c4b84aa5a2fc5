"""Mapping of label values to class numbers, with the same classes in all splits."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.label_values import LabelValues
from instar.data.number_labels import map_numbers
from instar.errors import DataError, nearest

LABEL_NAMES = ("label", "labels")
"""Names of columns that are labels, if `label_column` names no other."""

MAX_UNDOUBTED_NUMBERS = 20
"""Largest number of distinct whole numbers that are surely classes.

More of them may be quantities, or, if they count from 0 or 1 and a class has fewer than two samples on average, an
index of the samples.
"""

MAX_UNDOUBTED_CLASSES = 10
"""Largest number of distinct labels that are surely classes if a class has fewer than two samples on average."""

_WORDS_FOR_MISSING = ("nan", "None", "<NA>", "NaT")
"""Words into which NumPy turns missing values in an array of words."""


def map_labels(splits: Mapping[str, Any], config: DataConfig) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return the class numbers of the labels by split, `UNLABELLED` for missing labels, and the class names.

    Labels may be whole numbers of any dtype, booleans or words, in arrays, tensors, lists or pandas objects. Equal
    values are the same class in all splits. Classes are sorted by value and named after it: -1 and +1 become classes 0
    and 1 with the names "-1" and "1". `config.classes` names the labels 0, 1, 2, ... in order, unless the names are
    numbers. None, NaN, NA, masked values and `config.unlabelled` are missing labels.

    Args:
        splits: labels by split, `[samples]` or `[samples, position]`.
        config: its `unlabelled`, `labels` and `classes` choose the reading.

    Returns:
        Class numbers by split, int64 in the shape of the labels, and the class names.

    Raises:
        DataError: when a label has another type, or types are mixed. If several readings are possible, names the
            setting to choose one.

    >>> labels, classes = map_labels({"train": [1, -1, None], "test": [-1.0, 1.0]}, DataConfig(source="arrays"))
    >>> classes, labels["train"].tolist(), labels["test"].tolist()
    (('-1', '1'), [1, 0, -1], [0, 1])
    """
    if config.labels == "numbers":
        return map_numbers(splits, config)
    found = [LabelValues.read(split, given).without(config.unlabelled) for split, given in splits.items()]
    kinds = {labels.kind: labels.split for labels in reversed(found) if labels.kind}  # the first split of each kind
    if len(kinds) > 1:
        told = " and ".join(f"those of '{split}' are {kind}" for kind, split in kinds.items())
        raise DataError(f"labels must have the same type in all splits; {told}.")
    names = config.classes
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"data.classes names '{twice}' twice.")
    if not names:
        # of all splits, so that a class has one number whichever of its samples a split has
        distinct = sorted(set().union(*(labels.distinct() for labels in found)))
        if config.labels != "classes":
            _refuse_two_readings(found, distinct)
        names = tuple(map(str, distinct))
    numbers = {name: number for number, name in enumerate(names)}
    if config.classes and "whole numbers" in kinds and not any(name.lstrip("-").isdecimal() for name in names):
        numbers = {str(number): number for number in range(len(names))}  # the names of the classes 0, 1, 2, ...
    return {labels.split: _numbered(labels, numbers) for labels in found}, tuple(names)


def _numbered(labels: LabelValues, numbers: Mapping[str, int]) -> NDArray[np.int64]:
    of_values: dict[Any, int] = {}
    for value in labels.distinct():
        if str(value) not in numbers:
            where = labels.where(labels.values == value)
            raise DataError(f"label '{value}' ({where}) is not in data.classes; {nearest(str(value), numbers)}")
        of_values[value] = numbers[str(value)]
    numbered = np.full(len(labels.known), UNLABELLED, dtype=np.int64)
    if labels.kind == "words":
        numbered[labels.known] = [of_values[value] for value in labels.values.tolist()]
    elif labels.kind:  # a lookup per distinct number, not per label, of which a text has millions
        distinct, places = np.unique(labels.values, return_inverse=True)
        numbered[labels.known] = np.array([of_values[value] for value in distinct.tolist()])[places]
    return numbered.reshape(labels.shape)


def refuse_twins(names: Iterable[str]) -> None:
    """Refuse names that differ only in spaces, in characters that nobody sees, or in how accents are encoded.

    Raises:
        DataError: names both.

    >>> refuse_twins(["yes", "no", "yes "])
    Traceback (most recent call last):
    instar.errors.DataError: the labels 'yes' and 'yes ' differ only in spaces, so they may be one class or two. \
Remove the spaces, or set data.labels=classes if they are two classes.
    """
    spellings: dict[str, str] = {}
    for name in names:
        seen = "".join(one for one in unicodedata.normalize("NFC", name) if unicodedata.category(one) != "Cf").strip()
        if (other := spellings.setdefault(seen, name)) == name:
            continue
        are_spaces = other.strip() == name.strip()
        pair = f"{other!r} and {name!r}" if are_spaces else f"{other!a} and {name!a}"
        what = "spaces" if are_spaces else "invisible characters, or in how accents are encoded"
        raise DataError(
            f"the labels {pair} differ only in {what}, so they may be one class or two. "
            f"{'Remove the spaces' if are_spaces else 'Give them one spelling'}, or set data.labels=classes if they "
            "are two classes."
        )


def _refuse_two_readings(found: Sequence[LabelValues], distinct: Sequence[Any]) -> None:
    are_numbers = any(labels.kind == "whole numbers" for labels in found)
    negative = [value for value in distinct if value < 0] if are_numbers else []
    for labels in found:
        # -1 beside 0 and 1 may mark a missing label, but -1 and +1 are the two classes of many classifiers
        doubtful = negative if len(negative) == 1 and len(distinct) > 2 else []
        if labels.kind == "words":
            blank = [value for value in labels.distinct() if not value.strip()]
            doubtful = [*blank, *(_WORDS_FOR_MISSING if labels.is_text else ())]
        for value in doubtful:
            if (chosen := labels.values == value).any():
                raise DataError(
                    f"the label {value!r} ({labels.where(chosen)}) may be a class or mark a missing label. Set "
                    f"data.unlabelled={value!r} if it marks a missing label, or data.labels=classes if it is a class."
                )
    if any(labels.kind == "words" for labels in found):
        refuse_twins(distinct)
    number, samples = len(distinct), sum(len(labels.values) for labels in found)
    many = are_numbers and number > MAX_UNDOUBTED_NUMBERS
    rare = number > MAX_UNDOUBTED_CLASSES and 2 * number > samples
    # numbers without a gap from 0 or 1 are how classes are numbered, however many there are
    counted = are_numbers and distinct[-1] - distinct[0] == number - 1 and distinct[0] in (0, 1)
    if (many and rare) if counted else (many or rare):
        values = f"whole numbers from {distinct[0]} to {distinct[-1]}" if are_numbers else "words"
        other = "quantities (regression)" if are_numbers else "texts or sample names"
        other = "an index of the samples" if counted else other
        raise DataError(
            f"the {samples:,} labels are {number:,} different {values}. They may be classes, or {other}. Set "
            f"data.labels=classes if they are classes{', or data.labels=numbers if they are quantities' * are_numbers}."
        )
