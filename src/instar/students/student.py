"""Students: how a model learns from a lesson. Gradients are one way; each other way has a file of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from accelerate import Accelerator
from torch import nn

from instar.config import RunConfig, TrainingConfig
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.models.normalised import Normalised
from instar.objectives.objective import Objective
from instar.runs.run import Run
from instar.tasks.task import Task
from instar.teachers.teacher import Teacher


@dataclass(frozen=True, eq=False)
class Lesson:
    """All that a model learns from.

    Args:
        model: the model before its first step, on the device; it is changed in place.
        objective: what is minimised, its layers found.
        loader: the training samples and their views, which `model.reader` reads.
        training: settings of the training.
        run: receives metrics and checkpoints; None: a fit in memory keeps neither.
        accelerator: device and processes.
        seed: seed of the run.
        teacher: predicts targets for batches of the loader, on the device; None: labels alone.
        adapters: layers of terms by the name of the term, which are trained too.
        validation: labelled validation samples; None: there are none.
        show: show progress on stderr.
    """

    model: Normalised
    objective: Objective
    loader: Loader
    training: TrainingConfig
    run: Run | None
    accelerator: Accelerator
    seed: int
    teacher: Teacher | None = None
    adapters: nn.ModuleDict | None = None
    validation: Samples | None = None
    show: bool = True


class Student(ABC):
    """A way to learn, shared by all models that learn alike; it has no state of its own."""

    temperature: ClassVar[float] = 4.0
    """Temperature of the objective of `distill` where the user names none."""
    learns_in_steps: ClassVar[bool] = True
    """Whether it starts from initial weights, and draws samples of some classes more often where it is asked to."""
    used_settings: ClassVar[frozenset[str]] = frozenset(TrainingConfig.model_fields)
    """Settings of `TrainingConfig` that have an effect."""

    @abstractmethod
    def refuse(self, config: RunConfig, objective: Objective, task: Task, *, is_given: bool, is_weighted: bool) -> None:
        """Refuse a run that this student cannot learn, before anything is made.

        Args:
            config: configuration of the run.
            objective: objective of the run.
            task: what its labels mean.
            is_given: whether the user gave a model with weights.
            is_weighted: whether samples have weights: one of weight w must be learnt from as w equal samples are.

        Raises:
            InstarError: in one sentence.
        """

    @abstractmethod
    def learn(self, lesson: Lesson) -> float:
        """Change the model of a lesson, and return the seconds that it took; a killed run goes on, or starts again.

        At least one line of metrics.jsonl is written.

        Raises:
            InstarError: in one sentence.
        """

    def sizes(self, model: Normalised) -> dict[str, Any]:
        """Return `parameters`, the learnt numbers of a model, and further sizes by name."""
        return {"parameters": sum(p.numel() for p in model.parameters())}
