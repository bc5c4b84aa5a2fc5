"""Settings of the C library's memory allocator during a training step."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # parameters of mallopt (glibc, malloc.h)

# above this size glibc maps each block separately, and unmaps it when it is freed; the largest size that glibc allows
_STEP_MMAP_THRESHOLD_BYTES = 32 << 20

MMAP_THRESHOLD_BYTES = 2 << 20
"""The same size outside a training step."""

MAX_FREE_BYTES = 256 << 20
"""Largest amount of freed memory that the process keeps."""

_inside: list[None] = []  # one entry per open context: a loss in tiles is inside a training step


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Reuse freed memory blocks of up to 32 MiB inside the context, instead of returning them to the system.

    By default glibc returns large blocks at once, so every tensor of a step costs one page fault per 4 KiB: a third of
    the time of a small language model on a CPU. Does nothing where the C library is not glibc.
    """
    # Only for a step: evaluation keeps small results between large tensors. They would be cut out of large free blocks,
    # which are then too small for the next tensor; evaluating a language model took 10 GB instead of 1 GB.
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    if not _inside:
        mallopt(_MMAP_THRESHOLD, _STEP_MMAP_THRESHOLD_BYTES)
        mallopt(_TRIM_THRESHOLD, MAX_FREE_BYTES)
    _inside.append(None)
    try:
        yield
    finally:
        _inside.pop()
        if not _inside:
            mallopt(_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)  # for good: glibc stops adapting it once it is set


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    return getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
