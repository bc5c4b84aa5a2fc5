"""Choice of training samples that become the test set of data without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from instar.errors import DataError
from instar.seeds import generator

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
