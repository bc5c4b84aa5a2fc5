"""The option `jobs`: a number of processes, or Ray with the resources of each task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import parse_qsl, urlsplit

from instar.errors import ConfigError, nearest

RAY_CLIENT_PORT = 10001
"""Default port on which a head node listens for drivers."""


@dataclass(frozen=True)
class Processes:
    """Processes of this machine.

    Args:
        count: number of processes; 1 is this process.
    """

    count: int = 1

    @property
    def here(self) -> bool:
        """Whether tasks run in this process, and may share its objects and its terminal."""
        return self.count == 1


@dataclass(frozen=True)
class RayCluster:
    """Ray, and the resources that each task gets there.

    Args:
        address: address of a cluster as ray://host:port. If empty, the environment variable RAY_ADDRESS gives it; if
            that is not set, Ray starts on this machine.
        cpus: cores per task.
        gpus: accelerators per task; below 1, several tasks share one.
    """

    address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0

    @property
    def here(self) -> bool:
        """Whether tasks run in this process."""
        return False


def parse_jobs(jobs: int | str) -> Processes | RayCluster:
    """Parse the option `jobs`.

    Raises:
        ConfigError: if it is no number of processes and no Ray address, or names Ray and Ray is not installed.

    >>> parse_jobs("2")
    Processes(count=2)
    >>> parse_jobs(0)
    Traceback (most recent call last):
    instar.errors.ConfigError: jobs must be at least 1, got 0.
    """
    text = str(jobs).strip()
    if text.removeprefix("-").isdecimal():  # with the sign, so that the error for -2 is about its size
        if int(text) < 1:
            raise ConfigError(f"jobs must be at least 1, got {text}.")
        return Processes(int(text))
    try:
        parts = urlsplit(text)
        port = parts.port or RAY_CLIENT_PORT
    except ValueError as error:  # a wrong port, or wrong brackets around the host
        raise ConfigError(f"jobs '{text}' is no address: {error}.") from None
    if parts.scheme == "ray" and parts.hostname and parts.path in ("", "/"):
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname  # IPv6, without its brackets here
        address = f"ray://{host}:{port}"
    elif text.partition("?")[0] == "ray":
        address = ""
    else:
        raise ConfigError(f"jobs must be a number of processes, 'ray' or 'ray://host:port', got '{text}'.")
    needs = _parse_needs(parts.query)
    if not has_ray():
        raise ConfigError(f"jobs '{text}' needs Ray, which is not installed; run: pip install 'instar[ray]'")
    return RayCluster(address, **needs)


def has_ray() -> bool:
    """Return whether Ray is installed, without importing it."""
    return find_spec("ray") is not None


def _parse_needs(query: str) -> dict[str, float]:
    known, needs = ("cpus", "gpus"), dict[str, float]()
    # blank values too, because "ray?cpus=" is a mistake and not a default
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise ConfigError(f"jobs has no setting '{name}'; {nearest(name, known)}")
        try:
            value = float(text)
        except ValueError:
            value = math.nan  # fails the comparison below
        # Ray can share one core or one accelerator, but gives out several only as whole numbers
        if not (0 <= value < math.inf) or (value > 1 and not value.is_integer()) or (name == "cpus" and value == 0):
            bounds = "above 0 and at most 1" if name == "cpus" else "from 0 to 1"
            raise ConfigError(f"'{name}' of jobs must be {bounds}, or a whole number, got '{text}'.")
        needs[name] = value
    return needs
