"""Ours: one epoch of the real loop in a real run folder, with its metrics, its checks and its checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from instar.config import TrainingConfig
from instar.data import Loader, Samples, parse_views
from instar.models import Normalised, statistics
from instar.objectives import parse_objective
from instar.procedures.stage import make_accelerator
from instar.run import Run
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
    teacher: Normalised | None = None,
    in_memory: bool = False,
    views: str = "Identity()",
    **training: Any,
) -> float:
    """Return the seconds of one epoch by SGD, from fresh weights to the checkpoint at the end.

    Making the run folder, and the teacher's answers where they are held in memory, comes before the clock starts.

    Args:
        network: the student, without its statistics.
        samples: what it learns from.
        teacher: whom it learns from, beside the labels.
        in_memory: ask the teacher before, instead of at each step.
        views: the augmentation.
        training: fields of `TrainingConfig` other than the optimiser's.
    """
    settings = {"optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.9, "schedule": "constant"}
    config = TrainingConfig(**{"epochs": 1} | settings | training)
    accelerator = make_accelerator()
    loader = Loader(samples, config.batch_size, seed=0, views=parse_views(views), device=accelerator.device)
    model = normalised(network, samples)
    listened: Teacher | None = None
    if teacher is not None:
        listened = Module(teacher)
        listened.prepare(accelerator.device, config.teacher_precision)
        listened = Remembered(listened, loader) if in_memory else listened
    objective = parse_objective("HardLabels()" if teacher is None else DISTILLATION)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.start(Path(folder) / "run", config.model_dump(mode="json"), {})
        return seconds(lambda: fit(model, objective, loader, config, run, accelerator, teacher=listened, show=False))
