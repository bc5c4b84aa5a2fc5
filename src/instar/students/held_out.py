"""The validation examples of a lesson, and what they are judged by."""

from __future__ import annotations

from instar.data.loader import Loader
from instar.objectives.hard_labels import HardLabels
from instar.objectives.objective import Objective
from instar.students.examples import Examples
from instar.students.student import Lesson


def find_held_out(lesson: Lesson) -> tuple[Examples, Objective] | None:
    """Return the validation examples and the objective of their loss; None where there are none.

    It is that of the lesson where the teacher knows these samples, and that of their labels otherwise.
    """
    samples, teacher = lesson.validation, lesson.teacher
    if samples is None:
        return None
    loader = Loader(samples, len(samples), seed=0, device=lesson.loader.device)
    knows = teacher is None or teacher.knows(samples)
    examples = Examples.of(lesson.model, loader, teacher if knows else None)
    return examples, lesson.objective if knows else 1.0 * HardLabels()
