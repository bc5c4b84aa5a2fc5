"""Where stages run."""

from instar.jobs.local import run_all

__all__ = ["run_all"]
