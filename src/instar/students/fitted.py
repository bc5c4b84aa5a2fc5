"""What the students without gradients share: what they refuse, the examples that they fit, and their metrics."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from typing import Any, ClassVar

import torch

from instar.config import RunConfig, TrainingConfig
from instar.errors import ConfigError, MismatchError, NonFiniteError
from instar.models.fitted import Fitted
from instar.models.normalised import Normalised
from instar.objectives.objective import Objective
from instar.runs.run import Run
from instar.students.examples import Examples
from instar.students.student import Lesson, Student
from instar.tasks.task import Task
from instar.teachers.module import Module
from instar.training.scoring import measure_validation


class FittedStudent(Student):
    """A student that is fitted in one go to all samples, each in `num_views` views.

    Where labels are numbers, it predicts them in their own unit. A killed fit starts again, because it takes seconds.
    """

    temperature = 1.0
    learns_in_steps = False
    used_settings = frozenset({"teacher_precision", "memory_format"})
    noun: ClassVar[str] = "a model without gradients"
    """What the model is, in sentences."""

    def refuse(self, config: RunConfig, objective: Objective, task: Task, *, is_given: bool, is_weighted: bool) -> None:
        """Refuse settings without effect, endless views, positions, and an objective that cannot be minimised."""
        refuse_unused(self, config.training, _changed(config.training))
        if is_given:
            raise ConfigError(f"{self.noun} is fitted anew; give it by name or as a description, without its values.")
        if config.start is not None:
            raise ConfigError(f"{self.noun} has no initial weights, so 'start' has no effect; leave it out.")
        if config.views != "Identity()" and config.num_views is None:
            raise ConfigError(
                f"{self.noun} is fitted once, and the views '{config.views}' are endless; give num_views, the number "
                "of views of each sample that it is fitted to."
            )
        # special classes also say what the labels of the rest become, which has an effect on every model
        draws = {"balanced": config.data.balanced, "special_classes": config.data.rest == "labelled"}
        for name in (name for name, only_draws in draws.items() if only_draws and getattr(config.data, name)):
            raise ConfigError(
                f"'data.{name}' draws some samples more often in each epoch, and {self.noun} is fitted to each sample "
                "once; leave it out, or weigh classes with WeightedLabels in the objective."
            )
        if config.correct_prior:
            raise ConfigError(
                f"{self.noun} is fitted to each sample once, so its classes have their true shares; leave out "
                "'correct_prior'."
            )
        if task.is_stream:
            raise MismatchError(f"{self.noun} predicts whole samples, and the data have a class for each word.")
        self.refuse_objective(objective)

    @abstractmethod
    def refuse_objective(self, objective: Objective) -> None:
        """Refuse an objective that this student cannot minimise; says which it can.

        Raises:
            MismatchError: names the term.
        """

    @abstractmethod
    def fit(self, network: Any, examples: Examples, lesson: Lesson) -> int:
        """Fit a model to examples, and return the number of its steps, such as trees, of which 1 is the least."""

    def learn(self, lesson: Lesson) -> float:
        """Fit the model, and write its loss and validation metrics."""
        started = time.monotonic()
        assert lesson.run is not None, "only fit_model needs none"
        lesson.run.metrics_log.forget_after(0)  # of an attempt that was killed
        examples, steps = self.fit_model(lesson)
        record(lesson, lesson.run, examples, steps, started)
        return time.monotonic() - started

    def fit_model(self, lesson: Lesson) -> tuple[Examples, int]:
        """Fit the model of a lesson, write nothing, and return the examples and the steps of `fit`."""
        if lesson.accelerator.num_processes > 1:
            raise ConfigError(f"{self.noun} is fitted in one process, got {lesson.accelerator.num_processes}.")
        examples = Examples.of(lesson.model, lesson.loader, lesson.teacher)
        steps = self.fit(lesson.model.network, examples, lesson)
        lesson.model.eval()
        return examples, steps

    def sizes(self, model: Normalised) -> dict[str, Any]:
        """Return the sizes of the fitted model."""
        network = model.network
        assert isinstance(network, Fitted), "the catalogue gives each family its student"
        return network.sizes()


def refuse_unused(student: Student, training: TrainingConfig, names: set[str]) -> None:
    """Refuse settings of a training that have no effect.

    Args:
        student: how the model learns.
        training: the settings.
        names: those that somebody chose.

    Raises:
        ConfigError: names the first.
    """
    unused = [name for name in TrainingConfig.model_fields if name in names - student.used_settings]
    if unused:
        noun = getattr(student, "noun", "the student")
        raise ConfigError(
            f"'training.{unused[0]}' ({getattr(training, unused[0])}) has no effect on {noun}, which is fitted without "
            "gradient steps; leave it out. Arguments of the model are given with --arg."
        )


def _changed(training: TrainingConfig) -> set[str]:
    usual = TrainingConfig()
    return {name for name in TrainingConfig.model_fields if getattr(training, name) != getattr(usual, name)}


@torch.no_grad()
def record(lesson: Lesson, run: Run, examples: Examples, step: int, started: float) -> None:
    """Write the mean of each term on the training examples, and the validation metrics.

    Raises:
        NonFiniteError: when the loss is not finite.
    """
    means = examples.measure(lesson.model, lesson.objective)
    if not math.isfinite(means["loss"]):
        raise NonFiniteError(f"the loss of the fitted model is {means['loss']}; the targets may be too large.")
    log = run.metrics_log
    seconds = round(time.monotonic() - started, 3)
    log.append({"kind": "train", "step": step, "epoch": 1.0, **means, "examples": examples.count, "seconds": seconds})
    if lesson.validation is not None:
        found = measure_validation(Module(lesson.model), lesson.validation, lesson.accelerator.device)
        log.append({"kind": "validation", "step": step, "epoch": 1.0} | found)
