"""Predictions of models of numbers, with the spread of the members of an ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from instar.data.batch import Batch
from instar.errors import NonFiniteError, one_line
from instar.teachers.teacher import Teacher


@dataclass(frozen=True)
class PredictedNumber:
    """The predicted number of one input.

    Args:
        name: file; for other inputs, their number, counted from 0.
        value: the number, in the unit of the labels.
        spread: standard deviation of the numbers of the members of an ensemble, which tells how far they agree; None:
            the model is a single one.

    >>> str(PredictedNumber("0", 326.5, 12.25))
    '0  326.5 ± 12.25'
    """

    name: str
    value: float
    spread: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.4g}"
        return f"{one_line(self.name)}  {self.value:.7g}{spread}"


@torch.no_grad()
def predict_numbers(teacher: Teacher, batches: Iterator[Batch]) -> tuple[Tensor, Tensor | None]:
    """Return the numbers of all inputs, and the standard deviation of those of an ensemble, `[samples]` each.

    Raises:
        NonFiniteError: when a number is not finite.
    """
    members = teacher.members if len(teacher.members) > 1 else ()
    numbers, spreads = [], []
    for batch in batches:
        numbers.append(teacher.targets(batch).logits()[:, 0].cpu())
        if not numbers[-1].isfinite().all():
            place = sum(map(len, numbers[:-1])) + int((~numbers[-1].isfinite()).nonzero()[0])
            raise NonFiniteError(f"the model predicts no finite number for input {place}.")
        if members:
            each = torch.stack([member.targets(batch).logits()[:, 0].cpu() for member in members])
            spreads.append(each.std(0))
    return torch.cat(numbers), torch.cat(spreads) if spreads else None
