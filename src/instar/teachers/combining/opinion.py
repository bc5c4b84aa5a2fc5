"""What a specialist says, and where that stands among what is said of all classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

MIN_LOG_PROBABILITY = -600.0
"""The least log-probability that is told from 0: float64 holds e^-600, and one over it."""


@dataclass(frozen=True, eq=False)
class Opinion:
    """What one specialist says of some samples.

    Args:
        rows: of the samples that it is asked about, int64 `[n]`, each at most once.
        log_probs: of its classes S, `[n, |S|]`, or `[n, |S| + 1]` with the dustbin, all other classes, behind them.
        classes: S, int64 `[|S|]`, each once; all classes where there is no dustbin, and only there.
        weight: w_m, above 0.
    """

    rows: Tensor
    log_probs: Tensor
    classes: Tensor
    weight: float = 1.0

    @property
    def has_dustbin(self) -> bool:
        """Whether one more probability stands for all other classes."""
        return self.log_probs.shape[1] > len(self.classes)


def entries(opinion: Opinion, pooled: Tensor) -> Tensor:
    """Return where the classes of a specialist stand in the rows that it is asked about, `[n, |S|]`."""
    return opinion.rows[:, None] * pooled.shape[1] + opinion.classes


def take(values: Tensor, at: Tensor) -> Tensor:
    """Return values at entries, which are numbered row after row."""
    return values.view(-1).index_select(0, at.view(-1)).view_as(at)


def put(pooled: Tensor, at: Tensor, values: Tensor) -> None:
    """Put values at entries."""
    pooled.view(-1).scatter_(0, at.view(-1), values.view(-1))
