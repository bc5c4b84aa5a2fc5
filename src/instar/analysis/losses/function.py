"""Calls of a loss function of any code base, with arguments in its own order."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from instar.errors import ConfigError, shortened

ROLES = ("student", "teacher", "labels", "temperature")
"""What a loss function may be given: logits of student and teacher, labels, T."""


@dataclass(frozen=True)
class Sample:
    """Arguments for one call.

    Args:
        student: logits of the student, `[..., classes]`.
        teacher: logits of the teacher.
        labels: labels, `[...]`.
        temperature: temperature T.
    """

    student: Tensor
    teacher: Tensor
    labels: Tensor
    temperature: float

    def rows(self, chosen: Any) -> Sample:
        """Return some of the examples."""
        return Sample(self.student[chosen], self.teacher[chosen], self.labels[chosen], self.temperature)

    def to(self, dtype: torch.dtype) -> Sample:
        """Return the logits in another floating-point type."""
        return Sample(self.student.to(dtype), self.teacher.to(dtype), self.labels, self.temperature)


@dataclass(frozen=True)
class Answer:
    """What a call returned.

    Args:
        loss: the loss, averaged over examples where the function returns one for each.
        gradient: its gradient with respect to the student's logits; zeros where it has none.
        teacher_gradient: the same for the teacher's logits; None where nothing flows into them.
        shape: shape of what the function returned.
    """

    loss: float
    gradient: Tensor
    teacher_gradient: Tensor | None
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LossFunction:
    """A loss function with the order of its arguments.

    Args:
        function: any callable that returns a tensor.
        arguments: pairs of a keyword (None for a positional argument) and a role or a constant.
    """

    function: Callable[..., Any]
    arguments: tuple[tuple[str | None, Any], ...]

    def takes(self, role: str) -> bool:
        """Return whether the function is given something."""
        return any(value == role for _, value in self.arguments)

    def __call__(self, sample: Sample) -> Answer:
        """Return the loss of a sample and its gradients.

        Raises:
            ConfigError: when the function fails, or returns no tensor of losses.
        """
        student = sample.student.detach().clone().requires_grad_()
        teacher = sample.teacher.detach().clone().requires_grad_()
        given = {"student": student, "teacher": teacher, "labels": sample.labels, "temperature": sample.temperature}
        values = [(name, given[value] if value in ROLES else value) for name, value in self.arguments]
        try:
            found = self.function(
                *(value for name, value in values if name is None),
                **{name: value for name, value in values if name is not None},
            )
        except Exception as error:  # raised by the user's function, of any kind
            told = "; say what it takes, in its order, with arguments" if isinstance(error, TypeError) else ""
            failure = f"{type(error).__name__}: {shortened(error).rstrip('.')}"
            raise ConfigError(f"the loss function failed: {failure}{told}.") from None
        if not isinstance(found, Tensor) or not found.is_floating_point() or found.numel() == 0:
            raise ConfigError(f"the loss function must return a tensor of numbers, got {type(found).__name__}.")
        loss = found.sum() / (1 if found.dim() == 0 else len(sample.labels))
        if not loss.requires_grad:
            return Answer(float(loss), torch.zeros_like(student), None, tuple(found.shape))
        own, theirs = torch.autograd.grad(loss, (student, teacher), allow_unused=True)
        own = torch.zeros_like(student) if own is None else own
        return Answer(float(loss.detach()), own, theirs, tuple(found.shape))


def parse_arguments(text: str) -> tuple[tuple[str | None, Any], ...]:
    """Return arguments from a text such as "student,teacher,T=temperature,alpha=0.9".

    Raises:
        ConfigError: when a part is neither one of `ROLES` nor a constant with a name.

    >>> parse_arguments("student,teacher,T=temperature,alpha=0.9")
    ((None, 'student'), (None, 'teacher'), ('T', 'temperature'), ('alpha', 0.9))
    """
    found: list[tuple[str | None, Any]] = []
    for part in text.split(","):
        name, has_name, value = (piece.strip() for piece in part.rpartition("="))
        if value in ROLES:
            found.append((name or None, value))
            continue
        try:
            constant = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            constant = ...
        if not has_name or not name.isidentifier() or constant is ...:
            raise ConfigError(
                f"arguments has {part.strip()!r}; expected {', '.join(ROLES)}, each with or without the name of its "
                "parameter (y_s=student), and constants by name (alpha=0.9), separated by commas."
            )
        found.append((name, constant))
    if not any(value == "student" for _, value in found):
        raise ConfigError(f"arguments must have student, got {text!r}.")
    return tuple(found)
