"""`python -m tests.chaos`: run the trials of all kinds on all cores, and print tries, held and failed of each."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.chaos.runner import kinds, run_in_pool


def main() -> int:
    """Run what the arguments name; return 1 if any trial failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=kinds(), default=list(kinds()), help="all if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--counts", nargs="*", default=[], metavar="KIND=COUNT", help="where not those of make chaos")
    parser.add_argument("--trial", type=int, help="this one alone")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    counts = {kind: kinds()[kind].COUNT for kind in given.kinds}
    counts |= {kind: int(number) for kind, _, number in (text.partition("=") for text in given.counts)}
    # read when these are first imported: no trial reaches the network or writes outside temporary folders
    with tempfile.TemporaryDirectory(prefix="instar-chaos-", ignore_cleanup_errors=True) as name:
        os.environ |= {
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_CACHE": f"{name}/datasets",
            "INSTAR_CACHE": f"{name}/cache",
            "OMP_NUM_THREADS": "1",
            "GRPC_ENABLE_FORK_SUPPORT": "false",
        }
        pool = ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn"))
        with pool:
            failed = [
                run_kind(kind, given.seed, range(counts[kind]) if given.trial is None else [given.trial], name, pool)
                for kind in given.kinds
            ]
    return int(any(failed))


def run_kind(kind: str, seed: int, numbers: Sequence[int], folder: str, pool: ProcessPoolExecutor) -> int:
    """Run the numbered trials of a kind, print what failed and how many held, and return how many failed."""
    started, failed = time.monotonic(), 0
    outcomes = pool.map(partial(run_in_pool, kind, seed, Path(folder)), numbers)
    for number, outcome in zip(numbers, outcomes, strict=True):
        if not outcome.held:
            failed += 1
            print(f"failed: --kinds {kind} --seed {seed} --trial {number}", flush=True)
        if not outcome.held or len(numbers) == 1:
            print(f"    {outcome.tried}: {outcome.problem or 'held'}", flush=True)
    tried, seconds = len(numbers), time.monotonic() - started
    print(f"{kind}: {tried} tries, {tried - failed} held, {failed} failed ({seconds:.0f} s)", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
