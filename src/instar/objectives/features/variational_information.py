"""Variational information: how much of a layer of the teacher a Gaussian around the student's leaves unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instar.checks import Positive, checked
from instar.compute.inputs import Shape
from instar.errors import ConfigError
from instar.objectives.features.adapters import refuse_other_places
from instar.objectives.features.feature_term import FeatureTerm

_MIN_VARIANCE = 1e-5
"""Added to each variance, so that none is 0."""


@checked
@dataclass(frozen=True)
class VariationalInformation(FeatureTerm):
    """l = sum over pairs (1/D) sum over d of (log v_c(d) + (T_d - m_d(S))^2 / v_c(d)) / 2 over the D values d (VID).

    In nats per value and example, without the constant log(2 pi) / 2; it is below 0 where variances are small. S and T
    are the outputs of a layer of student and teacher. The mean m(S) comes from three convolutions of 1 x 1 without
    biases, with ReLU between them and as many channels as T; for layers that are no images, from linear layers over the
    last axis. Each channel c has a variance v_c = log(1 + exp(a_c)) + 1e-5 with a learnt a_c. The term owns both, and
    the run trains them with the student.

    Images need equal sizes, `[channels, height, width]`; the authors pool the larger ones.

    Source: Ahn et al. 2019, "Variational information distillation for knowledge transfer", equations 4 to 6, with the
    mean over all values and the three layers of their code; the weight in Tian et al. 2020 is 1.

    Args:
        pairs: see `FeatureTerm`.
        initial_variance: v_c before the first step, above 1e-5.

    Raises:
        ConfigError: when the variance is not above 1e-5.

    >>> import torch
    >>> mean, variance, teacher = torch.zeros(1, 2), torch.tensor([1.0, 4.0]), torch.tensor([[1.0, 2.0]])
    >>> VariationalInformation().compare((mean, variance), teacher).round(decimals=4)  # (0 + 1 + log 4 + 1) / 4
    tensor([0.8466])
    """

    initial_variance: Positive = 5.0

    name = "variational_information"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial_variance <= _MIN_VARIANCE:
            raise ConfigError(f"initial_variance must be above {_MIN_VARIANCE}, got {self.initial_variance}.")

    def make_adapter(self, student: Shape, teacher: Shape) -> nn.Module | None:
        """Return the layers that return mean and variance."""
        is_image = refuse_other_places(student, teacher)
        return ConditionalGaussian(student, teacher, is_image, self.initial_variance)

    def compare(self, student: tuple[Tensor, Tensor], teacher: Tensor) -> Tensor:
        """Return the mean negative log-density per example, without its constant."""
        mean, variance = student
        return ((variance.log() + (teacher - mean).square() / variance) / 2).flatten(1).mean(1)


class ConditionalGaussian(nn.Module):
    """A Gaussian for each value of a layer of the teacher, given the student's.

    Args:
        student: shape of the student's layer for one sample.
        teacher: that of the teacher's.
        is_image: whether the first axis has the channels, and not the last.
        variance: initial variance of all channels.
    """

    def __init__(self, student: Shape, teacher: Shape, is_image: bool, variance: float) -> None:
        super().__init__()
        channels, last = (student[0], teacher[0]) if is_image else (student[-1], teacher[-1])

        def layer(inputs: int) -> nn.Module:
            return nn.Conv2d(inputs, last, 1, bias=False) if is_image else nn.Linear(inputs, last, bias=False)

        self.mean = nn.Sequential(layer(channels), nn.ReLU(), layer(last), nn.ReLU(), layer(last))
        wanted = variance - _MIN_VARIANCE
        start = wanted + math.log(-math.expm1(-wanted))  # which log(1 + exp) gives back
        self.scale = nn.Parameter(torch.full((last, 1, 1) if is_image else (last,), start))

    def forward(self, student: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of each value, `[batch, ...]`, and the variance of each channel."""
        return self.mean(student), F.softplus(self.scale) + _MIN_VARIANCE
