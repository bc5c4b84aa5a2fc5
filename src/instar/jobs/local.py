"""Runs tasks on this machine, one after another or several at a time."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from instar.errors import say
from instar.jobs.task import MAX_RETRIES, JobsError, Outcome, attempt, call, leave_error, name_of

T = TypeVar("T")


def in_this_process(tasks: Sequence[Callable[[], T]]) -> Generator[tuple[int, Outcome[T]], None, None]:
    """Call tasks one after another."""
    for index, task in enumerate(tasks):
        yield index, call(task)


def in_pool(tasks: Sequence[Callable[[], T]], workers: int) -> Generator[tuple[int, Outcome[T]], None, None]:
    """Call tasks in several processes of this machine; a process that dies does not affect the others."""
    # not concurrent.futures: if a process dies, its executors end all others, and do not say which task it had; here
    # each process has its own pipe
    # threads of a small network spend most time waiting for each other, so two processes of one thread are faster than
    # one process of two threads
    threads = max(1, (os.cpu_count() or 1) // workers)
    waiting, lost = deque(range(len(tasks))), Counter[int]()
    busy: dict[_Worker, int] = {}
    idle: list[_Worker] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                index = waiting.popleft()
                # before a worker is taken; what pickling raises is the error of this task alone
                try:
                    payload = pickle.dumps(tasks[index])
                except Exception as error:
                    yield index, Outcome(error=error)
                    continue
                # reused, because a new process takes seconds to import torch
                worker = idle.pop() if idle else _Worker(threads)
                busy[worker] = index
                worker.give(payload)
            ready = wait([thing for worker in busy for thing in (worker.connection, worker.process.sentinel)])
            for worker in [worker for worker in busy if worker.connection in ready or worker.process.sentinel in ready]:
                index = busy.pop(worker)
                outcome = worker.take()
                if outcome is not None:
                    idle.append(worker)
                    yield index, pickle.loads(outcome)
                    continue
                lost[index] += 1
                told = f"the worker of {name_of(tasks[index], index)} was lost ({worker.end()})"
                if lost[index] <= MAX_RETRIES:
                    say(f"instar: {told}; retry {lost[index]} of {MAX_RETRIES}.")
                    waiting.append(index)
                else:
                    failure = JobsError(f"{told}, after {MAX_RETRIES} retries; fewer jobs leave more memory for each.")
                    leave_error(tasks[index], f"{failure}\n")
                    yield index, Outcome(error=failure)
    except BaseException:  # an interrupt, or the caller stopped reading
        for worker in busy:
            worker.process.terminate()  # otherwise `end` waits 10 s for each task
        raise
    finally:
        for worker in (*busy, *idle):
            worker.end()


class _Worker:
    """A process that runs one task after another, and ends when its pipe closes or its driver dies."""

    def __init__(self, threads: int) -> None:
        # not "fork": torch's threads, and its use of a GPU, do not survive it
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getcwd(), threads))
        self.process.start()
        theirs.close()  # then the process has the only other end, and the pipe ends with it

    def give(self, payload: bytes) -> None:
        """Send a task to the worker."""
        with suppress(OSError):  # if it is dead, `take` reports it
            self.connection.send_bytes(payload)

    def take(self) -> bytes | None:
        """Return a pickled outcome, or None if the process died before it sent one."""
        try:
            return self.connection.recv_bytes() if self.connection.poll() else None
        except (EOFError, OSError):
            return None

    def end(self) -> str:
        """Wait until the process has ended, and return its exit code or signal in words."""
        self.connection.close()  # an idle worker ends when it reads the end of its pipe
        self.process.join(10)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0  # negative: the number of the signal that killed it
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _serve(connection: Connection[Any, Any], folder: str, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt also reaches the driver, which ends this process
    threading.Thread(target=_end_with_driver, daemon=True).start()
    # after the thread, because a driver may die during this import, which takes seconds
    import torch

    os.chdir(folder)  # a spawned process starts in the folder where multiprocessing was imported
    torch.set_num_threads(threads)
    while True:
        try:
            payload = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(attempt(payload))


def _end_with_driver() -> None:
    # a run that went on would keep its folder locked against the next driver
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)  # at once and from this thread, while the main thread is in its task
