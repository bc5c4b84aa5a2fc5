"""One run of the real loop that takes turns, epoch by epoch, with a loop by hand, so that compiling is paid once."""

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
    """Before the first batch of each epoch somebody else has a turn, and nobody works meanwhile."""

    def __init__(self, samples: Samples, batch_size: int, other: Callable[[], float], **choices: Any) -> None:
        super().__init__(samples, batch_size, **choices)
        self._other = other
        self._since: float | None = None
        self.ours: list[float] = []
        self.others: list[float] = []

    def batch(self, step: int) -> Batch:
        """Return the batch, when it is our turn."""
        if step == len(self.others) * self.steps_per_epoch:
            self.end_turn()
            self.others.append(self._other())
            self._since = time.perf_counter()
        return super().batch(step)

    def end_turn(self) -> None:
        """Note how long our turn took, to the end of what is queued on an accelerator."""
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
    """Return the seconds of our epochs and of the other's turns, and the seconds in which the teacher answers an epoch.

    A first epoch of both, in which ours is compiled where that is asked for, is left out. The last epoch holds the
    checkpoint at the end.

    Args:
        network: the student, without its statistics.
        samples: what it learns from.
        other: has a turn before every epoch, and returns its seconds.
        rounds: epochs that count.
        teacher: whom the student learns from at temperature 1, alone, asked at every step; none: it learns from labels.
        training: fields of `TrainingConfig` other than the optimiser's.
    """
    settings = {"optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.9, "schedule": "constant"}
    config = TrainingConfig(**settings | training | {"epochs": rounds + 1})
    accelerator = make_accelerator()
    choices = {"seed": 0, "views": parse_views(VIEWS), "device": accelerator.device}
    loader = Turns(samples, config.batch_size, other, **choices)
    plain = Loader(samples, config.batch_size, **choices)
    listened = None
    if teacher is not None:
        listened = Module(normalised(teacher, samples))
        sizes = part_sizes(plain, config, accelerator) if config.compile else ()
        listened.prepare(Execution(accelerator.device, config.teacher_precision, compiled_sizes=sizes))
    objective = parse_objective("HardLabels()" if teacher is None else "SoftTargets(1)")
    with tempfile.TemporaryDirectory() as folder:
        run = Run.start(Path(folder) / "run", config.model_dump(mode="json"), {})
        model = normalised(network, samples)
        fit(model, objective, loader, config, run, accelerator, teacher=listened, show=False)
        loader.end_turn()
    answering = 0.0
    if listened is not None:
        batches = [plain.batch(step) for step in range(plain.steps_per_epoch)]
        answering = min(seconds(lambda: [listened.targets(batch) for batch in batches]) for _ in range(3))
    return loader.ours[1:], loader.others[1:], answering
