"""Labels of any kind become class numbers, by value and for all splits together: equal labels are one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.config import DataConfig
from instar.data.label_values import LabelValues
from instar.errors import DataError, nearest

MOST_NUMBERS = 20
"""More distinct whole numbers than this may be quantities as well as classes, unless they count from 0 or 1."""

MOST_RARE = 10
"""More classes than this are doubted where a class has fewer than two samples on average."""

_WORDS_FOR_MISSING = ("nan", "None", "<NA>", "NaT")
"""What NumPy makes of missing values in an array of words."""


def map_labels(splits: Mapping[str, Any], config: DataConfig) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Return the class number of each label by split, `UNLABELLED` where there is none, and the names of the classes.

    Labels may be whole numbers of any dtype, booleans or words, as arrays, tensors, lists or objects of pandas. Equal
    values are one class in all splits. Classes are sorted by value and named by it, so that -1 and +1 become classes 0
    and 1 with the names "-1" and "1". None, NaN, NA, a masked value and the value `config.unlabelled` are no label.

    Args:
        splits: labels by the name of their split, `[samples]` or `[samples, position]`.
        config: `unlabelled`, `labels` and `classes` say how labels are read.

    Returns:
        int64 in the shape of the labels by split, and the names.

    Raises:
        DataError: when a label is of no such kind, kinds are mixed, or several readings are possible; then it names
            the setting that chooses.

    >>> labels, classes = map_labels({"train": [1, -1, None], "test": [-1.0, 1.0]}, DataConfig(source="arrays"))
    >>> classes, labels["train"].tolist(), labels["test"].tolist()
    (('-1', '1'), [1, 0, -1], [0, 1])
    """
    found = [LabelValues.read(split, given).without(config.unlabelled) for split, given in splits.items()]
    kinds = {labels.kind: labels.split for labels in reversed(found) if labels.kind}
    if len(kinds) > 1:
        told = " and ".join(f"those of '{split}' are {kind}" for kind, split in kinds.items())
        raise DataError(f"labels must be of one kind in all splits; {told}.")
    names = config.classes
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"data.classes names '{twice}' twice.")
    if not names:
        distinct = sorted(set().union(*(labels.distinct() for labels in found)))
        if config.labels != "classes":
            _refuse_two_readings(found, distinct)
        names = tuple(map(str, distinct))
    numbers = {name: number for number, name in enumerate(names)}
    return {labels.split: _numbered(labels, numbers) for labels in found}, tuple(names)


def _numbered(labels: LabelValues, numbers: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the class numbers of labels, in their shape."""
    of_values: dict[Any, int] = {}
    for value in labels.distinct():
        if str(value) not in numbers:
            where = labels.where(labels.values == value)
            raise DataError(f"label '{value}' ({where}) is not in data.classes; {nearest(str(value), numbers)}")
        of_values[value] = numbers[str(value)]
    numbered = np.full(len(labels.known), UNLABELLED, dtype=np.int64)
    if labels.kind == "words":
        numbered[labels.known] = [of_values[value] for value in labels.values.tolist()]
    elif labels.kind:
        distinct, places = np.unique(labels.values, return_inverse=True)
        numbered[labels.known] = np.array([of_values[value] for value in distinct.tolist()])[places]
    return numbered.reshape(labels.shape)


def _refuse_two_readings(found: Sequence[LabelValues], distinct: Sequence[Any]) -> None:
    """Refuse labels that may mean several things.

    Raises:
        DataError: names the readings and the setting that chooses.
    """
    are_numbers = any(labels.kind == "whole numbers" for labels in found)
    negative = [value for value in distinct if value < 0] if are_numbers else []
    for labels in found:
        doubtful = negative if len(negative) == 1 and len(distinct) > 2 else []
        if labels.kind == "words":
            doubtful = ["", *(_WORDS_FOR_MISSING if labels.is_text else ())]
        for value in doubtful:
            if (chosen := labels.values == value).any():
                raise DataError(
                    f"the label {value!r} ({labels.where(chosen)}) may be a class, or say that there is no label. Set "
                    f"data.unlabelled={value!r} where it is no label, or data.labels=classes where it is a class."
                )
    number, samples = len(distinct), sum(len(labels.values) for labels in found)
    many = are_numbers and number > MOST_NUMBERS
    rare = number > MOST_RARE and 2 * number > samples
    counted = are_numbers and distinct[-1] - distinct[0] == number - 1 and distinct[0] in (0, 1)
    if (many or rare) and not counted:
        values = f"whole numbers from {distinct[0]} to {distinct[-1]}" if are_numbers else "words"
        other = "quantities (regression), which cannot be learnt yet" if are_numbers else "texts or names of samples"
        raise DataError(
            f"the {samples:,} labels are {number:,} different {values}. They may be classes, or {other}. Set "
            "data.labels=classes where they are classes."
        )
