"""Choice of the samples that become the test set of data without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from instar.errors import DataError, nearest
from instar.seeds import generator

if TYPE_CHECKING:
    import datasets

DRAWN = "test set drawn from train"
"""What the reading of a source says where its test set is such a choice."""


def choose_test_samples(labels: Sequence[Any], share: float, seed: int, name: str) -> list[int]:
    """Return the places of a random share of the samples of each class, in order.

    Each class with at least two samples has at least one in either part. Samples without a label are drawn alike.

    Args:
        labels: label of each sample.
        share: share of each class, which is rounded to samples.
        seed: seed of the draw.
        name: name of the data, for error messages.

    Raises:
        DataError: when no class has two samples.

    >>> choose_test_samples(["cat"] * 8 + ["dog"] * 4, 0.25, 0, "pets")
    [1, 7, 10]
    """
    by_label: dict[str, list[int]] = {}
    for place in torch.randperm(len(labels), generator=generator(seed, "test")).tolist():
        by_label.setdefault(str(labels[place]), []).append(place)
    chosen: list[int] = []
    for places in by_label.values():
        chosen += places[: min(max(1, round(share * len(places))), len(places) - 1)]
    if not chosen:
        raise DataError(f"no class of '{name}' has two samples, so data.test cannot draw a test set from train.")
    return sorted(chosen)


def hold_out_test(splits: Mapping[str, datasets.Dataset], where: str, name: str) -> dict[str, datasets.Dataset]:
    """Return splits whose test set is all rows with one value in a column.

    Args:
        splits: rows by split.
        where: column=value.
        name: name of the data, for messages.

    Raises:
        DataError: when there is no such column or row, or no other row of train.
    """
    import datasets

    column, value = where.split("=", 1)
    test, others, seen = [], {}, set()
    # the rows with the value come from all splits, since training on a speaker whom the test has would flatter it
    for split, rows in splits.items():
        if column not in rows.features:
            raise DataError(f"data '{name}' has no column '{column}'; {nearest(column, rows.features)}")
        feature = rows.features[column]
        names = feature.names if isinstance(feature, datasets.ClassLabel) else None  # a user knows classes by name
        values = [names[found] if names and found is not None else str(found) for found in rows[column][:]]
        seen.update(values)
        test.append(rows.select([index for index, found in enumerate(values) if found == value]))
        others[split] = rows.select([index for index, found in enumerate(values) if found != value])
    if value not in seen:
        raise DataError(f"no row of '{name}' has {column} '{value}'; {nearest(value, seen)}")
    if not len(others["train"]):
        raise DataError(f"all training rows of '{name}' have {column} '{value}', so no row is left to train on.")
    return others | {"test": datasets.concatenate_datasets(test)}
