"""The interface for running independent tasks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TypeVar

from instar.errors import InstarError
from instar.jobs.backends import Processes, RayCluster, parse_jobs
from instar.jobs.local import in_pool, in_this_process
from instar.jobs.ray import on_ray
from instar.jobs.task import JobsError, Outcome, name_of

T = TypeVar("T")


def run_all(
    tasks: Sequence[Callable[[], T]],
    jobs: int | str = 1,
    done: Callable[[int, T], None] = lambda index, value: None,
) -> list[T]:
    """Call every task, and return their values in order; raise the errors after all tasks have ended.

    Args:
        tasks: as in `outcomes`.
        jobs: as in `outcomes`.
        done: as in `outcomes`.

    Raises:
        Exception: the error of the task, if only one failed.
        JobsError: if several failed, all with an InstarError; names them all.
        ExceptionGroup: if several failed, some with another error.

    >>> run_all([lambda: 1, lambda: 2])
    [1, 2]
    """
    found = outcomes(tasks, jobs, done)
    failed = [
        (name_of(task, index), outcome.error)
        for index, (task, outcome) in enumerate(zip(tasks, found, strict=True))
        if outcome.error is not None
    ]
    if len(failed) > 1:
        count = f"{len(failed)} of {len(tasks)} tasks failed"
        # one sentence for the user, unless a defect of Instar is among them, whose traceback is needed
        if all(isinstance(error, InstarError) for _, error in failed):
            raise JobsError(" ".join([f"{count}.", *(f"{name}: {error}" for name, error in failed)]))
        raise ExceptionGroup(f"{count}: {', '.join(name for name, _ in failed)}", [error for _, error in failed])
    return [outcome.get() for outcome in found]


def outcomes(
    tasks: Sequence[Callable[[], T]],
    jobs: int | str = 1,
    done: Callable[[int, T], None] = lambda index, value: None,
) -> list[Outcome[T]]:
    """Call every task, and return the outcomes in order. A task that fails does not stop the others.

    A task whose worker is lost (killed, or out of memory) is retried up to three times; a stage then resumes from its
    run folder. The output of a `Job` in a worker is appended to log.txt in its run folder, and a failure writes
    error.txt there. An interrupt ends all tasks at once.

    Args:
        tasks: independent tasks; they must be picklable unless they run in this process.
        jobs: number of processes, where 1 is this process; "ray" or "ray://host:port" runs on Ray, with the resources
            of a task behind a question mark, as in "ray?cpus=2&gpus=0.25".
        done: called in this process with the index and value of each successful task, as soon as it ends.

    Raises:
        ConfigError: if `jobs` cannot be parsed, or its address does not answer.

    >>> [outcome.error for outcome in outcomes([lambda: 1, lambda: 1 // 0])]
    [None, ZeroDivisionError('integer division or modulo by zero')]
    """
    found: dict[int, Outcome[T]] = {}
    # closed on any error of `done`, which ends the processes of tasks that still run
    with closing(_run(tasks, parse_jobs(jobs))) as ended:
        for index, outcome in ended:
            found[index] = outcome
            if outcome.error is None:
                done(index, outcome.get())
    return [found[index] for index in range(len(tasks))]


def _run(
    tasks: Sequence[Callable[[], T]], place: Processes | RayCluster
) -> Generator[tuple[int, Outcome[T]], None, None]:
    if isinstance(place, RayCluster):
        return on_ray(tasks, place)
    if place.here or len(tasks) < 2:  # one task gains nothing from a second process
        return in_this_process(tasks)
    return in_pool(tasks, place.count)
