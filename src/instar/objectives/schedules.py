"""Weights of terms that change over a training, as in `SoftTargets(4) + decay(1000) * AttentionTransfer()`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from instar.checks import Weight, checked
from instar.errors import ConfigError


@checked
@dataclass(frozen=True)
class WeightSchedule:
    """w(u) = peak min(1, u / rise) for a rise, and peak (1 - u) for a fall, with u in [0, 1) the share of steps done.

    Args:
        peak: weight that the schedule rises to, or falls from; at least 0.
        rise: share of the steps in which the weight rises from 0; 0: it starts at the peak.
        falls: whether the weight falls to 0 over all steps.
    """

    peak: Weight
    rise: float = 0.0
    falls: bool = False

    def at(self, share: float) -> float:
        """Return the weight after a share of all steps, 0 at the start."""
        risen = min(1.0, share / self.rise) if self.rise else 1.0
        return self.peak * risen * (1 - share if self.falls else 1.0)

    def __mul__(self, factor: float) -> WeightSchedule:
        if not isinstance(factor, int | float):  # a term, which takes the schedule as its weight
            return NotImplemented
        return WeightSchedule(self.peak * factor, self.rise, self.falls)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        peak = repr(float(self.peak)).removesuffix(".0")
        return f"decay({peak})" if self.falls else f"warmup({peak}, {self.rise!r})"


def decay(weight: float) -> WeightSchedule:
    """Return a weight that falls linearly from `weight` at the first step to 0 after the last one.

    >>> [decay(1000).at(share) for share in (0, 0.25, 0.9)]
    [1000.0, 750.0, 99.99999999999997]
    """
    return WeightSchedule(weight, 0.0, True)


def warmup(weight: float, until: float) -> WeightSchedule:
    """Return a weight that rises linearly from 0 to `weight` in the first share of the steps, and then stays.

    Args:
        weight: weight after the rise.
        until: share of all steps, above 0 and at most 1.

    Raises:
        ConfigError: when the share is not in (0, 1].

    >>> [warmup(8, 0.5).at(share) for share in (0, 0.25, 0.75)]
    [0.0, 4.0, 8.0]
    """
    if not isinstance(until, int | float) or not 0 < until <= 1:
        raise ConfigError(f"warmup(until) must be above 0 and at most 1, a share of all steps, got {until!r}.")
    return WeightSchedule(weight, until)


def peak_of(weight: float | WeightSchedule) -> float:
    """Return the largest value of a weight.

    >>> peak_of(0.5), peak_of(decay(1000))
    (0.5, 1000)
    """
    return weight.peak if isinstance(weight, WeightSchedule) else weight


def number_of(weight: float | WeightSchedule) -> float:
    """Return a weight that does not change.

    Raises:
        ConfigError: when it changes over the training.
    """
    if isinstance(weight, WeightSchedule):
        raise ConfigError(f"the weight '{weight}' has no value without a step; call `at` of the objective.")
    return weight


FACTORS: dict[str, Callable[..., WeightSchedule]] = {"decay": decay, "warmup": warmup}
"""Weights that change, by the name that the text of an objective calls them by."""
