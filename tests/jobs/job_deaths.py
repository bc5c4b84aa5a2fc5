"""Tasks that end their worker; apart from job_tasks, because each new worker imports this file anew."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from instar.jobs import Job


@dataclass(frozen=True)
class Doomed:
    """Kills every process that it runs in.

    Args:
        out: its folder.
    """

    out: Path

    def run(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def doomed(out: Path) -> Job[None]:
    """Return a task that has started its run."""
    out.mkdir()
    (out / "config.json").write_text("{}")
    return Job(Doomed(out).run, out)
