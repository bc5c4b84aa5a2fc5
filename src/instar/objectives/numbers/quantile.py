"""The pinball loss, whose minimum is a quantile of the numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import checked
from instar.errors import ConfigError
from instar.objectives.numbers.number_term import NumberTerm, Origin


@checked
@dataclass(frozen=True)
class Quantile(NumberTerm):
    """l = max(q (y - z), (1 - q) (z - y)) / s, whose minimum is the quantile q of the numbers y.

    A network predicts one quantile: train one for each end of an interval, such as 0.05 and 0.95 for 90%. The share of
    test labels above the predictions, `below` in the result, is then about 1 - q.

    Source: Koenker and Bassett 1978, "Regression quantiles".

    Args:
        level: q in (0, 1); 0.5 is the median, and half the absolute error.
        of: "labels" or "teacher", whose numbers are y.

    Raises:
        ConfigError: when the level is outside (0, 1).

    >>> Quantile(0.9).of_distances(torch.tensor([-1.0, 1.0])).tolist()
    [0.8999999761581421, 0.10000000149011612]
    """

    level: float = 0.5
    of: Origin = "labels"

    noun = "quantile"

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"Quantile(level) must be above 0 and below 1, got {self.level}.")

    def of_distances(self, distances: Tensor) -> Tensor:
        """Return the loss of each distance, above 0 where the prediction is too high."""
        return torch.maximum((1 - self.level) * distances, -self.level * distances)
