"""The prediction of a specialist, and its places among the predictions of all classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

MIN_LOG_PROBABILITY = -600.0
"""Log-probabilities below this count as this: float64 holds e^-600 and its inverse."""


@dataclass(frozen=True, eq=False)
class Opinion:
    """The prediction of one specialist for some samples.

    Args:
        rows: rows of the samples for which the specialist is active, int64 `[n]`, each at most once.
        log_probs: log-probabilities of its classes S, `[n, |S|]`; with a dustbin, all other classes, `[n, |S| + 1]`.
        classes: S, int64 `[|S|]`, each once; all classes if and only if there is no dustbin.
        weight: weight w_m, above 0.
    """

    rows: Tensor
    log_probs: Tensor
    classes: Tensor
    weight: float = 1.0

    @property
    def has_dustbin(self) -> bool:
        """Whether one more probability is that of all other classes together."""
        return self.log_probs.shape[1] > len(self.classes)


def entries(opinion: Opinion, pooled: Tensor) -> Tensor:
    """Return the places of a specialist's classes in its rows of the flattened `pooled`, `[n, |S|]`."""
    # places in one dimension, because index_select and scatter_ are faster than indexing by two tensors
    return opinion.rows[:, None] * pooled.shape[1] + opinion.classes


def take(values: Tensor, at: Tensor) -> Tensor:
    """Return the values at some places of the flattened tensor, in the shape of `at`."""
    return values.view(-1).index_select(0, at.view(-1)).view_as(at)


def put(pooled: Tensor, at: Tensor, values: Tensor) -> None:
    """Write values to some places of the flattened tensor."""
    pooled.view(-1).scatter_(0, at.view(-1), values.view(-1))
