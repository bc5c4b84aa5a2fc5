"""The examples that a model without gradients is fitted to: all samples at once, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.errors import DataError, MismatchError
from instar.models.normalised import Normalised
from instar.objectives.objective import Objective
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher, ask

Floats = NDArray[np.float64]

QUERIED_SAMPLES = 1024
"""Samples of a query of the teacher."""


@dataclass(frozen=True, eq=False)
class Part:
    """All samples in one view, with the targets of the teacher.

    Args:
        batch: the samples.
        inputs: what the model is called with, float32 `[samples, columns]`.
        targets: targets of the teacher; None: there is no teacher.
        samples: how many samples each one counts as, float64 `[samples]` on the CPU; None: one.
    """

    batch: Batch
    inputs: Tensor
    targets: Targets | None
    samples: Tensor | None = None

    def counted(self) -> Part:
        """Return the samples that count, so that one of weight 0 is as one that is not there.

        Raises:
            DataError: when none does.
        """
        if self.samples is None or bool(self.samples.all()):
            return self
        at = self.samples.nonzero().flatten()
        if not len(at):
            raise DataError(
                f"all {len(self.samples):,} samples to fit, or held out to prune or stop, have the weight 0; "
                "give some of them a weight, or hold none out."
            )
        near = at.to(self.inputs.device)
        return Part(
            self.batch.rows(near), self.inputs[near], self.targets and self.targets.rows(near), self.samples[at]
        )


@dataclass(frozen=True, eq=False)
class Examples:
    """Samples in all of their views.

    Args:
        parts: the samples, once for each view.
        classes: number of classes; 1 for numbers.
        scale: mean and standard deviation of labels that are numbers; terms with an aim work in units of it.
    """

    parts: Sequence[Part]
    classes: int
    scale: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of(cls, model: Normalised, loader: Loader, teacher: Teacher | None) -> Examples:
        """Read samples, and query the teacher about them.

        Args:
            model: reads the samples.
            loader: loader of the samples.
            teacher: the teacher, on the device of the loader; None: there is none.

        Raises:
            MismatchError: when a view mixes samples, or the data have a class for each position.
        """
        whole = Loader(
            loader.samples,
            len(loader.samples),
            seed=loader.seed,
            views=loader.views,
            num_views=loader.num_views,
            view_seed=loader.origin.seed,
            device=loader.device,
        )
        parts = []
        for view in range(loader.num_views or 1):
            (batch,) = whole.in_order(view)
            if batch.mixture is not None or batch.labels.dim() != 1 or batch.mask is not None:
                raise MismatchError(
                    "a model without gradients is fitted to whole samples with one label each; leave out views that "
                    "mix samples, and labels of positions."
                )
            inputs = prepare_rows(model, batch)
            targets = None
            if teacher is not None:
                pieces = [batch.part(at, at + QUERIED_SAMPLES) for at in range(0, len(batch), QUERIED_SAMPLES)]
                first, *others = [ask(teacher, piece).targets for piece in pieces]
                targets = first.joined(others) if others else first
            weights = loader.samples.source.weights
            counts = None if weights is None else weights[torch.tensor(batch.host_ids)]
            parts.append(Part(batch, inputs, targets, counts).counted())
        scale = loader.samples.source.task.output_scale or (0.0, 1.0)
        return cls(parts, loader.samples.num_classes, scale)

    @property
    def are_numbers(self) -> bool:
        """Whether the labels are numbers."""
        return self.classes == 1

    def to_unit(self, outputs: Floats) -> Floats:
        """Return outputs in units of the scale as numbers in the unit of the labels; logits stay as they are."""
        mean, spread = self.scale
        return mean + spread * outputs

    @property
    def count(self) -> int:
        """Number of examples."""
        return sum(len(part.batch) for part in self.parts)

    @property
    def is_weighted(self) -> bool:
        """Whether samples have weights."""
        return any(part.samples is not None for part in self.parts)

    @cached_property
    def samples(self) -> Tensor:
        """How many samples each example counts as, float64 `[examples]`."""
        each = (torch.ones(len(part.batch)) if part.samples is None else part.samples for part in self.parts)
        return torch.cat([one.double() for one in each])

    @property
    def weight(self) -> float:
        """Number of examples, each as many times as its sample counts."""
        return float(self.samples.sum())

    @cached_property
    def rows(self) -> NDArray[np.float32]:
        """What the model reads of all examples, float32 `[examples, columns]`."""
        return torch.cat([part.inputs for part in self.parts]).cpu().numpy()

    def totals(self, objective: Objective) -> Tensor | None:
        """Return `Objective.totals` of all examples; None where no term weighs them."""
        if not objective.weighs_examples:
            return None
        return torch.stack([objective.totals(part.batch, part.targets) for part in self.parts]).sum(0)

    @torch.no_grad()
    def measure(self, model: Normalised, objective: Objective) -> dict[str, float]:
        """Return the mean of the objective and of each of its terms over the examples, by name."""
        return self.measure_logits(torch.cat([model.network(part.inputs) for part in self.parts]), objective)

    @torch.no_grad()
    def measure_logits(self, logits: Tensor, objective: Objective) -> dict[str, float]:
        """Return what `measure` does, of logits `[examples, classes]`."""
        totals, sums = self.totals(objective), dict[str, float]()
        by_part = logits.split([len(part.batch) for part in self.parts])
        for part, own in zip(self.parts, by_part, strict=True):
            for name, value in objective(own, part.batch, part.targets, totals)[1].items():
                sums[name] = sums.get(name, 0.0) + float(value)
        return {name: value / self.weight for name, value in sums.items()}


def prepare_rows(model: Normalised, batch: Batch) -> Tensor:
    """Return what a model reads of a batch, float32 `[batch, columns]`.

    Raises:
        MismatchError: when an input is missing (NaN) or infinite, which no threshold can tell apart.
    """
    found = model.prepare(batch.read(model.reader))
    assert isinstance(found, Tensor), "build_network refuses several inputs for a family that takes one"
    rows = found.flatten(1).float()
    finite = rows.isfinite().all(1)
    if not finite.all():
        bad = int((~finite).sum())
        raise MismatchError(
            f"{bad:,} of {len(rows):,} samples have numbers that are missing (NaN) or infinite; fill them in, or load "
            "the data as a table, whose missing values are read as such."
        )
    return rows
