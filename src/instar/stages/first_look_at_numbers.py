"""The first look at a teacher of numbers: how well it predicts a few labels, before a student learns from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from instar.analysis.numbers import measure_numbers
from instar.analysis.scores import UNLABELLED
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.views.identity import Identity
from instar.errors import NonFiniteError, name_samples, say
from instar.stages.look_samples import LOOK_BATCH_SIZE, choose_labelled, draw_few, keep_unchanged
from instar.teachers.teacher import Teacher

MIN_R2 = 0.1
"""R² below which a teacher is hardly better than the mean of the labels."""


@dataclass(frozen=True)
class NumbersLook:
    """The errors of a teacher on a few samples.

    Args:
        split: "validation", or "train" where the teacher can predict no labelled validation sample; None: no labels.
        examples: number of labelled examples.
        rmse: root of the mean squared error, in the unit of the labels; None: unknown.
        r2: share of the variance that it explains; None: unknown.
        warnings: sentences on what seems wrong.
    """

    split: str | None = None
    examples: int = 0
    rmse: float | None = None
    r2: float | None = None
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        values = {"split": self.split, "examples": self.examples, "rmse": self.rmse, "r2": self.r2}
        return {**values, "warnings": list(self.warnings)}

    def tell(self) -> None:
        """Print it on stderr."""
        if self.rmse is None or self.r2 is None:
            say("instar: the teacher's error is not known: no labels can be compared with its answers.")
        else:
            where = "training" if self.split == "train" else "validation"
            say(
                f"instar: the teacher's R² is {self.r2:.3f} on {self.examples} {where} examples, its RMSE "
                f"{self.rmse:.5g}; the mean of the labels has an R² of 0."
            )
        for sentence in self.warnings:
            say(f"instar: warning: {sentence}.")


@torch.no_grad()
def look_at_numbers(teacher: Teacher, data: Data, loader: Loader) -> NumbersLook:
    """Query a teacher about a few hundred samples at most; random and hidden states stay as they are.

    Raises:
        NonFiniteError: when a predicted number is not finite; names the samples.
    """
    split, samples = choose_labelled(teacher, data)
    few = draw_few(samples if samples is not None else data.train)
    views = Identity() if teacher.knows(few) else loader.views
    shown = Loader(
        few,
        LOOK_BATCH_SIZE,
        seed=loader.seed,
        views=views,
        num_views=loader.num_views,
        view_seed=loader.origin.seed,
        device=loader.device,
        partners=loader.origin.partners,
    )
    predicted, numbers = [], []
    with keep_unchanged(teacher, loader.device):
        for batch in shown.in_order():
            found = teacher.targets(batch).logits()[:, 0]
            if (bad := ~found.isfinite()).any():
                raise NonFiniteError(
                    f"the teacher predicts no finite number for {name_samples(batch.ids[bad].tolist())}; check the "
                    "teacher."
                )
            is_judged = (batch.labels != UNLABELLED) & (batch.mixture is None)
            is_judged = is_judged if batch.mask is None else is_judged & batch.mask
            predicted.append(found[is_judged].cpu())
            if is_judged.any():
                numbers.append(batch.numbers[is_judged].cpu())
    if not numbers or samples is None:
        return NumbersLook()
    measured = measure_numbers(torch.cat(predicted), torch.cat(numbers))
    r2 = measured.get("r2")
    is_poor = r2 is not None and r2 < MIN_R2
    warning = (
        "the teacher is hardly better than the mean of the labels on these samples; check how it reads its inputs, and "
        "the unit of its numbers"
    )
    return NumbersLook(split, measured["samples"], measured["rmse"], r2, (warning,) if is_poor else ())
