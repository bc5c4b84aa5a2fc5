"""A loss function under test: samples for it, what it returned for them, and the definition to compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from instar.analysis.losses.forms import Fit, fit_forms, forward_divergence, gradient
from instar.analysis.losses.function import Answer, LossFunction, Sample

EQUAL_TOLERANCE = 1e-4
"""Relative difference below which two losses are the same, for functions that compute in float32."""

EXAMPLES, CLASSES = 12, 7


@dataclass(frozen=True)
class Finding:
    """The answer to one question about a loss.

    Args:
        question: what was asked.
        verdict: the answer.
        is_defined_so: whether the definition has the same answer; None where it has none.
    """

    question: str
    verdict: str
    is_defined_so: bool | None = None


@dataclass(frozen=True)
class Tested:
    """A loss function, with the temperature of most experiments; where it takes none, the one inside it."""

    function: LossFunction
    temperature: float

    @cached_property
    def sample(self) -> Sample:
        """Examples of most experiments."""
        return draw(self.temperature, EXAMPLES)

    @cached_property
    def answer(self) -> Answer:
        """What the function returns for them."""
        return self.function(self.sample)

    @cached_property
    def fit(self) -> Fit | None:
        """The forms that its gradient is made of."""
        return self.fit_to(self.sample)

    @property
    def follows_definition(self) -> bool:
        """Whether the part that follows the teacher has the gradient of the definition, up to a factor."""
        return self.fit is not None and self.fit.is_definition and self.fit.temperature == self.temperature

    def at(self, temperature: float) -> Sample:
        """Return the sample at another temperature."""
        return replace(self.sample, temperature=temperature)

    def fit_to(self, sample: Sample) -> Fit | None:
        """Return the forms that the gradient for a sample is made of."""
        found = self.function(sample).gradient
        return fit_forms(found, sample.student, sample.teacher, sample.labels, (sample.temperature, 1.0))

    def power(self, once: Sample, twice: Sample) -> float | None:
        """Return the power of 2 by which the weight of the part that follows the teacher grows between two samples."""
        first, second = self.fit_to(once), self.fit_to(twice)
        if self.fit is None or first is None or second is None or not first.same_forms(second):
            return None
        small, large = (fit.weight if fit.soft else fit.label_weight for fit in (first, second))
        return math.log2(large / small) if small and large / small > 0 else None


def draw(temperature: float, *examples: int, classes: int = CLASSES) -> Sample:
    """Return random logits with a standard deviation of 2, and random labels, in float64."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (2 * torch.randn(*examples, classes, generator=generator, dtype=torch.float64) for _ in range(2))
    return Sample(student, teacher, torch.randint(classes, examples, generator=generator), temperature)


def definition_scale(sample: Sample) -> float:
    """Return T^2 / n, by which the definition multiplies the sum of KL(p || q) over examples."""
    return sample.temperature**2 / sample.labels.numel()


def define(sample: Sample) -> tuple[float, Tensor]:
    """Return T^2 KL(p || q), averaged over examples, and its gradient."""
    z, v, y, t = sample.student, sample.teacher, sample.labels, sample.temperature
    scale = definition_scale(sample)
    return scale * float(forward_divergence(z, v, y, t).sum()), scale * gradient(forward_divergence, z, v, y, t)


def is_equal(first: float, second: float) -> bool:
    """Return whether two losses are the same up to rounding."""
    return math.isclose(first, second, rel_tol=EQUAL_TOLERANCE, abs_tol=1e-9)
