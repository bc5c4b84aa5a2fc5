"""The validation examples of a lesson, and what they are judged by."""

from __future__ import annotations

from dataclasses import replace

from instar.data.loader import Loader
from instar.objectives.hard_labels import HardLabels
from instar.objectives.numbers.number_term import NumberTerm
from instar.objectives.objective import Objective
from instar.objectives.schedules import number_of
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
    return examples, lesson.objective if knows else _on_labels(lesson.objective)


def _on_labels(objective: Objective) -> Objective:
    """Return the objective of samples that the teacher does not know: its terms of numbers, or the cross-entropy."""
    used = [(weight, term) for weight, term in objective.parts if number_of(weight) > 0]
    of_numbers = [(weight, term) for weight, term in used if isinstance(term, NumberTerm)]
    own = [part for part in of_numbers if part[1].of == "labels"]
    taught = [(weight, replace(term, of="labels")) for weight, term in of_numbers]  # type: ignore[type-var]  # dataclasses
    return Objective(tuple(own or taught)) if of_numbers else 1.0 * HardLabels()
