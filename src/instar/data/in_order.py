"""Work on many items by several threads, whose results come in the order of the items."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_WORKERS = 32
"""Most threads that work at a time."""

_PARTS_PER_WORKER = 2  # one that it works on, and one that waits for it


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(work: Callable[[Item], Result], parts: Iterable[Item], workers: int | None = None) -> Iterator[Result]:
    """Yield `work(part)` of each part in order, computed by threads that are at most a few parts ahead.

    An error is raised where its part would have been yielded, as by `map`.

    Args:
        work: function that may run in several threads at a time.
        parts: its arguments; taken one by one, so that memory does not grow with their number.
        workers: number of threads; 1 works in the thread of the caller. None: one for each core, up to `MAX_WORKERS`.

    >>> list(map_in_order(lambda number: number**2, range(5), workers=3))
    [0, 1, 4, 9, 16]
    """
    workers = min(MAX_WORKERS, count_cores()) if workers is None else workers
    if workers == 1:
        yield from map(work, parts)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="instar-decoding") as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) >= _PARTS_PER_WORKER * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # after an error, or when the caller takes no more
            for future in waiting:
                future.cancel()
