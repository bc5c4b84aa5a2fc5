"""What a node compares with, and what marks that it compares with nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAF = -1
"""Number of the column, and of both children, at a leaf."""

EVERYTHING = float(np.finfo(np.float64).max)
"""Threshold to whose left all numbers go, infinity too, as where missing values are split from all others."""


def largest_in_float32(thresholds: NDArray[np.floating], *, strict: bool) -> NDArray[np.float64]:
    """Return the largest float64 numbers x with float32(x) <= threshold, or < if `strict`.

    >>> found = largest_in_float32(np.array([0.5]), strict=True)
    >>> bool(np.float32(found) < 0.5), bool(np.float32(np.nextafter(found, 1)) < 0.5)
    (True, False)
    """
    with np.errstate(over="ignore"):
        below = thresholds.astype(np.float32)
        goes_right = below >= thresholds if strict else below > thresholds
        below = np.where(goes_right, np.nextafter(below, np.float32(-np.inf)), below)
        # after the largest float32 number, rounding goes on as if there were a next one
        after = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
        middle = (below.astype(np.float64) + np.where(np.isinf(after), 2.0**128, after)) / 2
        found = np.where(middle.astype(np.float32) == below, middle, np.nextafter(middle, -np.inf))
    return np.clip(found, -np.finfo(np.float64).max, np.finfo(np.float64).max)
