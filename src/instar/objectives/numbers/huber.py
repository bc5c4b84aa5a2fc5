"""Huber's loss of predicted numbers, which outliers move less."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import checked
from instar.errors import ConfigError
from instar.objectives.numbers.number_term import NumberTerm, Origin


@checked
@dataclass(frozen=True)
class Huber(NumberTerm):
    """l = d² / 2 if |d| <= delta, and delta (|d| - delta / 2) otherwise, with d = (z - y) / s.

    Source: Huber 1964, "Robust estimation of a location parameter".

    Args:
        delta: distance from which the loss is linear, above 0, in standard deviations s of the training labels.
        of: "labels" or "teacher", whose numbers are y.

    Raises:
        ConfigError: when delta is not above 0.

    >>> Huber(1.0).of_distances(torch.tensor([0.5, -3.0])).tolist()
    [0.125, 2.5]
    """

    delta: float = 1.0
    of: Origin = "labels"

    noun = "huber"

    def __post_init__(self) -> None:
        if not 0 < self.delta < float("inf"):
            raise ConfigError(f"Huber(delta) must be above 0, got {self.delta}.")

    def of_distances(self, distances: Tensor) -> Tensor:
        """Return the loss of each distance."""
        return torch.nn.functional.huber_loss(
            distances, torch.zeros_like(distances), reduction="none", delta=self.delta
        )
