"""Instar's side: one epoch of the real loop in a real run folder, with its metrics, checks and checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.config import TrainingConfig
from instar.data import Loader, Samples, parse_views
from instar.models import Normalised, statistics
from instar.models.readers import Reader
from instar.objectives import parse_objective
from instar.runs.run import Run
from instar.teachers import Module, Remembered, Teacher
from instar.training import fit
from measure import seconds

DISTILLATION = "SoftTargets(temperature=4) + 0.1 * HardLabels()"


def normalised(network: nn.Module, samples: Samples, reader: Reader | None = None) -> Normalised:
    """Return a network that normalises its inputs by their statistics, or those of its reader, as in every run."""
    known = reader.statistics() if reader else None
    return Normalised(network, *(known or statistics(samples)), reader)


def epoch(
    network: nn.Module,
    samples: Samples,
    *,
    teacher: Normalised | Teacher | None = None,
    in_memory: bool = False,
    objective: str | None = None,
    reader: Reader | None = None,
    views: str = "Identity()",
    num_views: int | None = None,
    **training: Any,
) -> float:
    """Return the seconds of one epoch by SGD, or of several, from fresh weights to the checkpoint at the end.

    The clock starts after the run folder is made, and after the teacher's predictions are in memory with `in_memory`.

    Args:
        network: network of the student.
        samples: training samples.
        teacher: a network, or a teacher such as a target store; None: there is no teacher.
        in_memory: whether to query the teacher before training, instead of in each step.
        objective: objective as text; None: `DISTILLATION` with a teacher, and the labels without.
        reader: how the student reads its inputs; None: as they are.
        views: augmentation.
        num_views: views per sample, used in turn; None: a new view each epoch.
        training: settings of `TrainingConfig`.
    """
    settings = {"optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.9, "schedule": "constant"}
    config = TrainingConfig(**{"epochs": 1} | settings | training)
    accelerator = make_accelerator()
    choices = {"views": parse_views(views), "num_views": num_views, "device": accelerator.device}
    loader = Loader(samples, config.batch_size, seed=0, **choices)
    model = normalised(network, samples, reader)
    queried = Module(teacher) if isinstance(teacher, Normalised) else teacher
    if queried is not None:
        queried.prepare(Execution(accelerator.device, config.teacher_precision))
        queried = Remembered(queried, loader) if in_memory else queried
    minimised = parse_objective(objective or ("HardLabels()" if teacher is None else DISTILLATION))
    with tempfile.TemporaryDirectory() as folder:
        run = Run.start(Path(folder) / "run", config.model_dump(mode="json"), {})
        return seconds(lambda: fit(model, minimised, loader, config, run, accelerator, teacher=queried, show=False))
