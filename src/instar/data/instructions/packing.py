"""Packing of examples into as few windows as possible."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray


def pack(lengths: NDArray[np.int64], room: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the window of each example and its first position there; no example is cut.

    Best fit of decreasing lengths: each example goes into the fullest window that has room for it. Windows are numbered
    by their first example, so that they have the order of the data.

    Args:
        lengths: positions of each example, at most `room`.
        room: positions of a window.

    >>> pack(np.array([2, 5, 3, 1]), 6)
    (array([0, 1, 0, 1]), array([3, 0, 0, 5]))
    """
    windows, offsets = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    left: list[tuple[int, int]] = []  # positions that each window has left, with its number, sorted
    for number in np.argsort(-lengths, kind="stable"):
        wanted = int(lengths[number])
        at = bisect_left(left, (wanted, 0))
        free, window = left.pop(at) if at < len(left) else (room, len(left))
        windows[number], offsets[number] = window, room - free
        insort(left, (free - wanted, window))
    _, first, which = np.unique(windows, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which], offsets
