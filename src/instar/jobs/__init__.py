"""Runs tasks in this process, in several processes of this machine, or on Ray; `outcomes` states the contract."""

from instar.jobs.backends import Processes, RayCluster, parse_jobs
from instar.jobs.running import outcomes, run_all
from instar.jobs.task import Job, JobsError, Outcome

__all__ = ["Job", "JobsError", "Outcome", "Processes", "RayCluster", "outcomes", "parse_jobs", "run_all"]
