"""Runs tasks on Ray, on this machine or on a cluster. The only file that imports Ray."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any, TextIO, TypeVar
from urllib.parse import urlsplit

from instar.errors import ConfigError, say
from instar.jobs.backends import RayCluster
from instar.jobs.task import MAX_RETRIES, JobsError, Outcome, attempt, leave_error, name_of, pack

T = TypeVar("T")

MAX_CONNECTION_SECONDS = 10.0
"""Longest wait for a Ray address."""


def on_ray(tasks: Sequence[Callable[[], T]], cluster: RayCluster) -> Generator[tuple[int, Outcome[T]], None, None]:
    """Call tasks on Ray, as many at a time as its resources allow.

    Raises:
        ConfigError: if the address does not answer, or this machine has fewer resources than a task needs.
    """
    import ray

    with _connected(cluster):
        needs = {
            "num_cpus": cluster.cpus,
            "num_gpus": cluster.gpus,
            "max_retries": MAX_RETRIES,  # of lost workers
            "retry_exceptions": False,  # an exception would come again
        }
        remote = ray.remote(**needs)(_work)
        # relative paths and the user's modules must mean the same in a worker
        place = (os.getcwd(), [os.path.abspath(entry) for entry in sys.path], cluster)
        running: dict[Any, int] = {}
        try:
            for index, task in enumerate(tasks):
                # pickled here and not by Ray, so that an error belongs to this task; cloudpickle also takes lambdas
                try:
                    payload = ray.cloudpickle.dumps(task)
                except Exception as error:
                    yield index, Outcome(error=error)
                    continue
                running[remote.options(name=name_of(task, index)).remote(payload, *place)] = index
            while running:
                with _stdout_to_stderr():
                    (ready, *_), _ = ray.wait(list(running), num_returns=1)
                index = running.pop(ready)
                yield index, _outcome(ready, tasks[index], name_of(tasks[index], index))
        except BaseException:  # an interrupt, or the caller stopped reading
            for reference in running:
                ray.cancel(reference, force=True)  # at once, whatever the task is doing
            raise


def _outcome(reference: Any, task: Callable[[], Any], name: str) -> Outcome[Any]:
    import ray

    try:
        outcome: Outcome[Any] = pickle.loads(ray.get(reference))
        return outcome
    except ray.exceptions.RayTaskError as error:  # raised before the task, for example if Instar is not installed there
        cause = error.cause if isinstance(error.cause, Exception) else error
        return Outcome(error=cause)
    except ray.exceptions.RayError as error:
        failure = JobsError(f"the worker of {name} was lost, after {MAX_RETRIES} retries: {_reason(error)}.")
        leave_error(task, f"{failure}\n")
        return Outcome(error=failure)


def _work(payload: bytes, folder: str, path: Sequence[str], cluster: RayCluster) -> bytes:
    """Run a task in a Ray worker, in the driver's folder and with its import path."""
    import torch

    try:
        os.chdir(folder)
    except OSError as error:
        here = f"'{folder}' on node '{socket.gethostname()}'"
        sentence = f"a task cannot work in {here}: {error.strerror}; the driver and all nodes must share this folder."
        return pack(Outcome(error=ConfigError(sentence)))
    sys.path += [entry for entry in path if entry not in sys.path]
    if not cluster.gpus:  # Ray leaves all of them visible to tasks that request none
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(max(1, int(cluster.cpus)))
    return attempt(payload)


@contextmanager
def _connected(cluster: RayCluster) -> Iterator[None]:
    """Use the Ray that this process is connected to, or connect to one and disconnect at the end."""
    import ray

    if ray.is_initialized():  # the caller's own connection stays open
        _check(cluster, alone=False)
        yield
        return
    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}  # stages print into their folders
    if alone := address == "local":
        # set before Ray starts, which reads its settings from the environment; a user's own values stay
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would send statistics to its makers
        os.environ.setdefault("RAY_task_oom_retries", str(MAX_RETRIES))  # the default is to retry for ever
        settings["include_dashboard"] = False
    elif address != "auto":
        _refuse_unreachable(address)
    # a whole number of seconds, which Ray spends on up to three attempts of at least 5 s
    os.environ.setdefault("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", str(int(MAX_CONNECTION_SECONDS)))
    try:
        try:
            with _stdout_to_stderr(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Ray Client connection timed out")  # the error below says so
                ray.init(address, **settings)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"Ray at '{address}' cannot be used: {_reason(error)}.") from None
        _check(cluster, alone=alone)
        with redirect_stdout(_StdoutOfThisThread(sys.stdout)):
            yield
    finally:
        with _stdout_to_stderr():
            ray.shutdown()  # also after a failed connection, because Ray would count as connected


def _stdout_to_stderr() -> AbstractContextManager[Any]:
    """Send Ray's messages to stderr, because only results go to stdout."""
    return redirect_stdout(sys.stderr)  # noqa: TID251 (Ray prints there, not Instar)


class _StdoutOfThisThread:
    """stdout for the thread that creates it, and stderr for others, such as Ray's thread that reports lost workers."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._owner = stream, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream if threading.get_ident() == self._owner else sys.stderr, name)  # noqa: TID251


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # the first line says it, advice follows; a traceback of the server says it in its last line
    return lines[-1 if any(line.startswith("Traceback") for line in lines) else 0].strip().rstrip(".")


def _refuse_unreachable(address: str) -> None:
    # Ray itself would wait for a long time where nothing listens
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        socket.create_connection((parts.hostname or "", parts.port or 0), MAX_CONNECTION_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ConfigError(f"nothing answers at the Ray address '{address}': {error}.") from None


def _check(cluster: RayCluster, *, alone: bool) -> None:
    """Refuse tasks that this machine could never run; on a cluster, a node with the resources may still join."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    # a task runs on one node, so the sum over nodes does not count
    if any(node.get("CPU", 0) >= cluster.cpus and node.get("GPU", 0) >= cluster.gpus for node in nodes):
        return
    most = ", ".join(f"{node.get('CPU', 0):g} cores and {node.get('GPU', 0):g} accelerators" for node in nodes)
    told = f"a task needs {cluster.cpus:g} cores and {cluster.gpus:g} accelerators, but Ray's nodes have {most}"
    if alone:
        raise ConfigError(f"{told}.")
    say(f"instar: {told}; waiting for a node with these resources.")
