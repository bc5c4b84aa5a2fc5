"""What `jobs` may be: 1, a number of processes, or Ray with what each task needs there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import parse_qsl, urlsplit

from instar.errors import ConfigError, nearest

RAY_CLIENT_PORT = 10001
"""Where a head node listens for drivers, unless it was started otherwise."""


@dataclass(frozen=True)
class Processes:
    """Processes of this machine.

    Args:
        count: 1 works in this process, more are a pool.
    """

    count: int = 1

    @property
    def here(self) -> bool:
        """Whether tasks run in this process, and may share its objects and its terminal."""
        return self.count == 1


@dataclass(frozen=True)
class RayCluster:
    """Ray, and what each task is given there.

    Args:
        address: of a cluster, as ray://host:port; empty takes what the environment variable RAY_ADDRESS says, and
            starts Ray on this machine where it says nothing.
        cpus: cores of a task.
        gpus: accelerators of a task; several tasks share one when it is below 1.
    """

    address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0

    @property
    def here(self) -> bool:
        """Whether tasks run in this process."""
        return False


def parse_jobs(jobs: int | str) -> Processes | RayCluster:
    """Read where tasks are to run.

    Raises:
        ConfigError: when it says no such place, or Ray is asked for and not installed.

    >>> parse_jobs("2")
    Processes(count=2)
    >>> parse_jobs(0)
    Traceback (most recent call last):
    instar.errors.ConfigError: jobs must be at least 1, got 0.
    """
    text = str(jobs).strip()
    if not isinstance(jobs, bool) and text.removeprefix("-").isdecimal():
        if int(text) < 1:
            raise ConfigError(f"jobs must be at least 1, got {text}.")
        return Processes(int(text))
    try:
        parts = urlsplit(text)
        port = parts.port or RAY_CLIENT_PORT
    except ValueError as error:  # of the port, or of brackets around the host
        raise ConfigError(f"jobs '{text}' is no address: {error}.") from None
    if parts.scheme == "ray" and parts.hostname and parts.path in ("", "/"):
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        address = f"ray://{host}:{port}"
    elif text.partition("?")[0] == "ray":
        address = ""
    else:
        raise ConfigError(f"jobs must be a number of processes, 'ray' or 'ray://host:port', got '{text}'.")
    needs = _parse_needs(parts.query)
    if not has_ray():
        raise ConfigError(f"jobs '{text}' needs Ray, which is not installed; pip install 'instar[ray]' installs it.")
    return RayCluster(address, **needs)


def has_ray() -> bool:
    """Return whether Ray is installed; it is not imported."""
    return find_spec("ray") is not None


def _parse_needs(query: str) -> dict[str, float]:
    """Read "cpus=2&gpus=0.5"."""
    known, needs = ("cpus", "gpus"), dict[str, float]()
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise ConfigError(f"jobs has no setting '{name}'; {nearest(name, known)}")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        # Ray divides one core or one accelerator, and hands out more of them whole
        if not (0 <= value < math.inf) or (value > 1 and not value.is_integer()) or (name == "cpus" and value == 0):
            least = "above 0" if name == "cpus" else "0"
            raise ConfigError(f"'{name}' of jobs must be {least} to 1, or a whole number, got '{text}'.")
        needs[name] = value
    return needs
