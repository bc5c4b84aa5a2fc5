"""Tasks that the tests of jobs hand to other processes, which import them from this folder."""

import importlib
import os
import signal
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from instar.config import RunConfig, validate
from instar.errors import DataError
from instar.jobs import Job
from instar.runs.files import read_tensors
from instar.runs.run import Run
from instar.stages.stage import Stage

MODEL = {"name": "mlp", "arguments": {"widths": [8]}}
TRAINING = {"epochs": 3, "batch_size": 32, "log_every": 1, "checkpoint_seconds": 0}


def stage(out: Path, seed: int = 0, kind: type[Stage] = Stage) -> Stage:
    values = {"data": {"source": "digits", "subset": 120}, "model": MODEL, "training": TRAINING, "seed": seed}
    return kind(validate(RunConfig, values), out, show=False)


def jobs_of(stages) -> list[Job[Run]]:
    return [Job(stage.run, stage.out) for stage in stages]


def assert_same(first: Run, second: Run) -> None:
    """Compare weights and predictions bit for bit, and what was measured on the way."""
    for name in ("weights.safetensors", "predictions.safetensors"):
        left, right = (read_tensors(run.path / name)[0] for run in (first, second))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)
    lines = [[{k: v for k, v in line.items() if k != "seconds"} for line in run.history()] for run in (first, second)]
    assert lines[0] == lines[1]


@dataclass(frozen=True)
class Noisy(Stage):
    """Prints by every way there is."""

    def run(self):
        print("by print")
        os.write(2, b"by the system\n")
        warnings.warn("by a warning", stacklevel=1)
        return super().run()


@dataclass(frozen=True)
class Failing(Stage):
    """Fails with a sentence when its run is under way."""

    def run(self):
        print("by print")
        _before_step(3, _fail)
        return super().run()


@dataclass(frozen=True)
class Unstarted(Stage):
    """Fails with an error of the program's before there is a run folder."""

    def run(self):
        print("nearly")
        return 1 // 0


@dataclass(frozen=True)
class Killed(Stage):
    """Its process is killed at step 3, once, when the first two steps have been kept."""

    def run(self):
        print("by print")
        _before_step(3, lambda: once(self.out.with_suffix(".killed"), kill))
        return super().run()


@dataclass(frozen=True)
class KillsDriver(Stage):
    """The process that started its process is killed at step 3, once; it then holds its run for as long as it may."""

    def run(self):
        _before_step(3, lambda: once(self.out.with_suffix(".killed"), _kill_driver))
        return super().run()


def once(marker: Path, act) -> None:
    if not marker.exists():
        marker.touch()
        act()


def kill() -> None:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def where() -> tuple[int, str]:
    """Return the process and Ray's node; slow enough that two of them are in two processes."""
    import ray

    time.sleep(0.5)
    return os.getpid(), ray.get_runtime_context().get_node_id()


class OddError(Exception):
    """Cannot be pickled, as its constructor takes two arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail_oddly() -> None:
    raise OddError(1, 2)


def fail_in_a_sentence(word: str) -> None:
    raise DataError(f"the {word} is missing.")


def unpicklable() -> object:
    return lambda: None


def visible_accelerators() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def _kill_driver() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def _fail() -> None:
    fail_in_a_sentence("third step")


def _before_step(step: int, act) -> None:
    """Act before a step, counted in this process."""
    module = importlib.import_module("instar.training.loop")
    original, count = module.learning_rate, iter(range(1000))

    def rate(*arguments):
        if next(count) == step:
            module.learning_rate = original
            act()
        return original(*arguments)

    module.learning_rate = rate
