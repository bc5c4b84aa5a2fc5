"""Memory that is freed and soon wanted again."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of mallopt (glibc, malloc.h)."""

_THRESHOLD = 32 << 20
"""Bytes above which glibc maps a block by itself and unmaps it when it is freed; it allows no more than this."""

GIVEN_BACK = 2 << 20
"""The same where freed memory is not kept."""

KEPT = 256 << 20
"""Bytes of freed memory that the process keeps, at most."""

_inside: list[None] = []  # one for each that is entered


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Make the C library keep freed blocks of up to 32 MiB for the next ones, in this process and for as long as this.

    Left to itself it gives large blocks back to the system at once, and every tensor of a step then costs a page fault
    per 4 KiB: of a small language model on a CPU a third of the time. Only for a step, though: where results are put
    aside between large tensors, as when a model is judged, each of them is cut out of a large free block, which then
    is too small for the next tensor; judging a language model took 10 GB so instead of 1. Afterwards blocks above
    `GIVEN_BACK` are given back for good: glibc no longer fits that size to what is freed, as it does until it is told
    one. Does nothing where the C library is not glibc.
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    if not _inside:
        mallopt(_MMAP_THRESHOLD, _THRESHOLD)
        mallopt(_TRIM_THRESHOLD, KEPT)
    _inside.append(None)
    try:
        yield
    finally:
        _inside.pop()
        if not _inside:
            mallopt(_MMAP_THRESHOLD, GIVEN_BACK)


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    return getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
