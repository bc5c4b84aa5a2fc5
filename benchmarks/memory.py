"""The host memory that a piece of work takes, measured in a new process, where no freed memory can hide it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")


def status(field: str) -> int:
    """Return a field of /proc/self/status in bytes: RssAnon is memory without files, VmRSS includes mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])


def peak_above(work: Callable[[], object]) -> int:
    """Return the peak growth of this process's memory during `work`, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current size
    before = status("VmRSS")
    found = work()
    peak = status("VmHWM") - before
    del found  # only now: the result belongs to the peak
    return peak


def in_new_process(work: Callable[..., Found], *arguments: Any) -> Found:
    """Return the result of a function in a process that has done nothing else; it must be importable."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
