"""The kinds of chaos, and their trials, one at a time: in this process, or in those of `python -m tests.chaos`."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import tempfile
import traceback
from pathlib import Path
from random import Random
from types import ModuleType

import torch
from tests.chaos.harness import Outcome

OTHERS = ("__main__", "harness", "mutations", "runner")
"""Modules of this folder that are no kind."""


def kinds() -> dict[str, ModuleType]:
    """Return the modules of this folder that have trials, by name with hyphens."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    names = [name for name in sorted(names) if name not in OTHERS and not name.startswith("test_")]
    return {name.replace("_", "-"): importlib.import_module(f"tests.chaos.{name}") for name in names}


def run_trial(kind: str, seed: int, number: int, folder: Path) -> Outcome:
    """Return the outcome of trial `number`, which depends on nothing but kind, seed and number."""
    here = folder / kind
    here.mkdir(exist_ok=True)
    try:
        (outcome,) = kinds()[kind].trials(Random(f"{kind} {seed} {number}"), 1, here)
    except Exception:
        return Outcome(kind, "an exception left the trial", traceback.format_exc())
    return outcome


@functools.cache
def own_folder(folder: Path, process: int) -> Path:
    """Return a folder of this process's own: what is prepared there for one trial serves the next."""
    return Path(tempfile.mkdtemp(prefix=f"{process}-", dir=folder))


def run_in_pool(kind: str, seed: int, folder: Path, number: int) -> Outcome:
    """Return the same in a process of a pool, of which none may use more than a core."""
    torch.set_num_threads(1)
    return run_trial(kind, seed, number, own_folder(folder, os.getpid()))
