"""What a piece of work takes of the memory of the host, measured where nothing that was freed before can hide it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")


def status(field: str) -> int:
    """Return a number of /proc/self/status in bytes: RssAnon is what is ours, VmRSS counts the pages of files too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])


def peak_above(work: Callable[[], object]) -> int:
    """Return by how many bytes the memory of this process grows in `work`, at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what there is now
    before = status("VmRSS")
    found = work()
    peak = status("VmHWM") - before
    del found
    return peak


def in_new_process(work: Callable[..., Found], *arguments: Any) -> Found:
    """Return what a function of a module returns in a process that has done nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
