"""Networks, which learn by gradients in the training loop."""

from __future__ import annotations

from instar.config import RunConfig
from instar.objectives.objective import Objective
from instar.students.student import Lesson, Student
from instar.tasks.task import Task
from instar.training.loop import fit


class NetworkStudent(Student):
    """Learns by gradients: see `instar.training.loop.fit`."""

    def refuse(self, config: RunConfig, objective: Objective, task: Task, *, is_given: bool, is_weighted: bool) -> None:
        """Refuse nothing: components and models refuse for themselves what no network can learn."""

    def learn(self, lesson: Lesson) -> float:
        """Take all steps that are left, and return the seconds of all."""
        assert lesson.run is not None, "a network keeps its checkpoints in a run"
        return fit(
            lesson.model,
            lesson.objective,
            lesson.loader,
            lesson.training,
            lesson.run,
            lesson.accelerator,
            teacher=lesson.teacher,
            adapters=lesson.adapters,
            validation=lesson.validation,
            show=lesson.show,
        )
