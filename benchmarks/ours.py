"""Ours: one epoch of the real loop in a real run folder, with its metrics, its checks and its checkpoint."""

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
from instar.objectives import parse_objective
from instar.runs.run import Run
from instar.teachers import Module, Remembered, Teacher
from instar.training import fit
from measure import seconds

DISTILLATION = "SoftTargets(temperature=4) + 0.1 * HardLabels()"


def normalised(network: nn.Module, samples: Samples) -> Normalised:
    """Return a network behind the statistics of its inputs, as every run makes it."""
    return Normalised(network, *statistics(samples))


def epoch(
    network: nn.Module,
    samples: Samples,
    *,
    teacher: Normalised | Teacher | None = None,
    in_memory: bool = False,
    objective: str | None = None,
    views: str = "Identity()",
    num_views: int | None = None,
    **training: Any,
) -> float:
    """Return the seconds of one epoch by SGD, or of several, from fresh weights to the checkpoint at the end.

    Making the run folder, and the teacher's answers where they are held in memory, comes before the clock starts.

    Args:
        network: the student, without its statistics.
        samples: what it learns from.
        teacher: whom it learns from: a network, or what is ready to be asked, such as a target store.
        in_memory: ask the teacher before, instead of at each step.
        objective: what is minimised; none: the labels, and with a teacher `DISTILLATION`.
        views: the augmentation.
        num_views: views per sample that are used in turn; none: a new one each epoch.
        training: fields of `TrainingConfig` other than the optimiser's.
    """
    settings = {"optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.9, "schedule": "constant"}
    config = TrainingConfig(**{"epochs": 1} | settings | training)
    accelerator = make_accelerator()
    choices = {"views": parse_views(views), "num_views": num_views, "device": accelerator.device}
    loader = Loader(samples, config.batch_size, seed=0, **choices)
    model = normalised(network, samples)
    listened = Module(teacher) if isinstance(teacher, Normalised) else teacher
    if listened is not None:
        listened.prepare(Execution(accelerator.device, config.teacher_precision))
        listened = Remembered(listened, loader) if in_memory else listened
    minimised = parse_objective(objective or ("HardLabels()" if teacher is None else DISTILLATION))
    with tempfile.TemporaryDirectory() as folder:
        run = Run.start(Path(folder) / "run", config.model_dump(mode="json"), {})
        return seconds(lambda: fit(model, minimised, loader, config, run, accelerator, teacher=listened, show=False))
