"""Numbers that were given as predictions: whether they are probabilities or logits, and their logits."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.errors import DataError

Meaning = Literal["probabilities", "logits"]
"""What given numbers are."""

SUM_TOLERANCE = 1e-3
"""Largest difference of the sum of a row of probabilities from 1; float16 rounds each of them by up to 5e-4."""

MAX_FLOOR = 1e-6
"""Largest probability that stands for a given 0."""


def as_logits(numbers: NDArray[np.float64], meaning: Meaning | None, where: str) -> Tensor:
    """Return logits, float32 `[rows, classes]`: v = log p for probabilities. Rows without a prediction are NaN.

    These are rows of NaN, and rows of probabilities that are all 0: nobody voted. Elsewhere, a p of 0 becomes 1e-6 or,
    if that is less, the smallest other p, so that all logits are finite.

    Args:
        numbers: float64 `[rows, classes]`.
        meaning: what they are; None: what they can only be.
        where: name of the file, for messages.

    Raises:
        DataError: when some but not all numbers of a row are missing, numbers are infinite, probabilities are negative
            or do not sum to 1, or it is not clear what they are.

    >>> as_logits(np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]]), None, "a.npy").exp()
    tensor([[5.0000e-01, 5.0000e-01],
            [1.0000e+00, 1.0000e-06],
            [       nan,        nan]])
    """
    is_nan, is_infinite = np.isnan(numbers), (numbers == np.inf).any(1) | (numbers == -np.inf).all(1)
    partly = is_nan.any(1) & ~is_nan.all(1)
    _refuse(partly, f"{where} must hold numbers, or only NaN in a row without a prediction", "NaN")
    _refuse(is_infinite, f"{where} must hold finite numbers", "an infinite one")
    is_empty = is_nan.all(1) | (numbers == 0).all(1)
    meaning = meaning or find_meaning(numbers[~is_empty], where)
    if meaning == "logits":
        return torch.from_numpy(numbers).float()
    _refuse((numbers < 0).any(1), f"probabilities in {where} must be at least 0", "a negative one")
    sums = numbers.sum(1)
    odd = (np.abs(sums - 1) > SUM_TOLERANCE) & ~is_empty
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        raise DataError(
            f"probabilities in {where} must sum to 1 in each row, within {SUM_TOLERANCE:g}; row {first} sums to "
            f"{sums[first]:.6g}, and {int(odd.sum()):,} of {len(odd):,} rows do not."
        )
    least = float(numbers[numbers > 0].min(initial=1))
    floor = max(min(MAX_FLOOR, least), torch.finfo(torch.float32).tiny)  # smaller ones are zeros in float32
    # in float32, as those of a classifier that is queried live
    logits = torch.from_numpy(numbers).float().clamp(min=floor).log()
    return logits.masked_fill(torch.from_numpy(is_empty)[:, None], torch.nan)


def find_meaning(numbers: NDArray[np.float64], where: str) -> Meaning:
    """Return what numbers without NaN can only be, `[rows, classes]`.

    Raises:
        DataError: when they can be both, or there are none.
    """
    if not len(numbers):
        raise DataError(f"{where} holds no predictions: every row is empty.")
    is_sum = np.abs(numbers.sum(1) - 1) <= SUM_TOLERANCE
    least = numbers.min()
    if least >= 0 and is_sum.all():
        return "probabilities"
    if least < 0 and not is_sum.all():
        return "logits"
    told = "some are negative, and every row sums to 1" if least < 0 else "none is negative, and rows do not sum to 1"
    raise DataError(
        f"the numbers in {where} can be probabilities or logits: {told}; say which with --values probabilities or "
        "--values logits (values=)."
    )


def _refuse(odd: Any, expected: str, found: str) -> None:
    if odd.any():
        raise DataError(
            f"{expected}; {int(odd.sum()):,} rows have {found}, the first is row {int(np.flatnonzero(odd)[0])}."
        )
