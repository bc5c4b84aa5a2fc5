"""The environment of a run: versions, machine, command, commit."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def package_version() -> str:
    """Return the version of Instar."""
    return version("instar")


def environment() -> dict[str, Any]:
    """Return versions, machine, command, commit and date, on which a result depends besides its configuration."""
    packages = ["instar", "torch", "accelerate", "datasets", "numpy", "scikit-learn", "safetensors"]
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _IMPORTED_COMMIT,
        "date": time.strftime("%Y-%m-%d"),
    }


def cpu_name() -> str:
    """Return the name of the processor, if the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    # on Linux, platform.processor() names the architecture at best; ARM has no "model name"
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def commit(package: Path = Path(__file__).parents[1]) -> str | None:
    """Return the git commit of a package, with "+changes" if its files differ; None if it is in no checkout."""

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", *words]  # another program may commit at this moment
        return subprocess.run(command, cwd=package, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an installed copy may be inside another checkout
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


# when this module is imported and not when a run is written, because the checkout may move on while a process runs
_IMPORTED_COMMIT = commit()
