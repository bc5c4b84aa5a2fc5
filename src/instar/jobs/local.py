"""Stages on this machine, one after the other or several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")


def run_all(
    tasks: Sequence[Callable[[], T]], workers: int = 1, done: Callable[[int, T], None] = lambda index, value: None
) -> list[T]:
    """Call every task, and return their values in order. The first error ends the rest and is raised.

    Small networks leave most of a core's time to the hand-over between threads, so on two cores two processes of one
    thread finish sooner than two threads of one process.

    Args:
        tasks: independent of each other; picklable when there are several workers.
        workers: processes; 1 works in this one.
        done: called with the index and the value of each task as it ends.

    >>> run_all([lambda: 1, lambda: 2])
    [1, 2]
    """
    values: dict[int, T] = {}
    if workers == 1 or len(tasks) < 2:
        for index, task in enumerate(tasks):
            values[index] = task()
            done(index, values[index])
    else:
        threads = max(1, (os.cpu_count() or 1) // workers)
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_use_threads, initargs=(threads,)) as pool:
            futures = {pool.submit(task): index for index, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    index = futures[future]
                    values[index] = future.result()
                    done(index, values[index])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [values[index] for index in range(len(tasks))]


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
