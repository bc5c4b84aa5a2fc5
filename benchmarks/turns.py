"""One run of the real loop that takes turns with a hand-written loop, epoch by epoch, so that it compiles once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.config import TrainingConfig
from instar.data import Batch, Loader, Samples, parse_views
from instar.objectives import parse_objective
from instar.runs.run import Run
from instar.teachers import Module
from instar.training import fit, part_sizes
from measure import seconds, synchronise
from ours import normalised

VIEWS = "Crop(4) + Flip()"


class Turns(Loader):
    """A loader that gives a turn to the other loop before the first batch of each epoch; only one loop works."""

    def __init__(self, samples: Samples, batch_size: int, other: Callable[[], float], **choices: Any) -> None:
        super().__init__(samples, batch_size, **choices)
        self._other = other
        self._since: float | None = None
        self.ours: list[float] = []
        self.others: list[float] = []

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; before the first one of an epoch, the other loop has its turn."""
        # once per epoch, although `fit` requests the batch of step 0 twice if it compiles
        if step == len(self.others) * self.steps_per_epoch:
            self.end_turn()
            self.others.append(self._other())
            self._since = time.perf_counter()
        return super().batch(step)

    def end_turn(self) -> None:
        """Record the seconds of our turn, up to the end of everything that is queued on an accelerator."""
        synchronise()
        if self._since is not None:
            self.ours.append(time.perf_counter() - self._since)


def epochs(
    network: nn.Module,
    samples: Samples,
    other: Callable[[], float],
    *,
    rounds: int,
    teacher: nn.Module | None = None,
    **training: Any,
) -> tuple[list[float], list[float], float]:
    """Return the seconds of our epochs, of the other loop's turns, and of the teacher's predictions for one epoch.

    The first epoch of both is left out, because it compiles. The last epoch includes the checkpoint at the end.

    Args:
        network: network of the student.
        samples: training samples.
        other: has a turn before each epoch, and returns its seconds.
        rounds: epochs that count.
        teacher: teacher of a student that learns from soft targets at temperature 1 alone; None: from labels.
        training: settings of `TrainingConfig`.
    """
    settings = {"optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.9, "schedule": "constant"}
    config = TrainingConfig(**settings | training | {"epochs": rounds + 1})
    accelerator = make_accelerator()
    choices = {"seed": 0, "views": parse_views(VIEWS), "device": accelerator.device}
    loader = Turns(samples, config.batch_size, other, **choices)
    plain = Loader(samples, config.batch_size, **choices)
    queried = None
    if teacher is not None:
        queried = Module(normalised(teacher, samples))
        sizes = part_sizes(plain, config, accelerator) if config.compile else ()
        queried.prepare(Execution(accelerator.device, config.teacher_precision, compiled_sizes=sizes))
    objective = parse_objective("HardLabels()" if teacher is None else "SoftTargets(1)")
    with tempfile.TemporaryDirectory() as folder:
        run = Run.start(Path(folder) / "run", config.model_dump(mode="json"), {})
        model = normalised(network, samples)
        fit(model, objective, loader, config, run, accelerator, teacher=queried, show=False)
        loader.end_turn()
    querying = 0.0
    if queried is not None:
        # batches beforehand, so that neither loading nor augmentation counts
        batches = [plain.batch(step) for step in range(plain.steps_per_epoch)]
        querying = min(seconds(lambda: [queried.targets(batch) for batch in batches]) for _ in range(3))
    return loader.ours[1:], loader.others[1:], querying
