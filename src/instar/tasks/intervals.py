"""The 95% intervals that a metric may have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from instar.analysis.linearised import Linearised
from instar.analysis.significance import mean_interval, wilson_interval

Bounds = tuple[float, float]
Linearise = Callable[[Tensor, Tensor], Linearised | None]
"""Takes logits `[samples, classes]` and labels `[samples]`; None: the metric does not apply."""

WHOLE_NUMBER_TOLERANCE = 1e-6  # float64 rounds share * examples by less, up to a billion examples


class Interval(ABC):
    """How the 95% interval of a metric is computed from what a run folder holds."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the method; usually a class attribute."""

    @property
    def linearise(self) -> Linearise | None:
        """Computes the metric with the influence of each sample, from logits and labels, to compare it in pairs."""
        return None

    @abstractmethod
    def bounds(
        self, value: float, metrics: Mapping[str, Any], predictions: tuple[Tensor, Tensor] | None
    ) -> Bounds | None:
        """Return the lower and the upper end; None if they cannot be computed.

        Args:
            value: value of the metric.
            metrics: all metrics of the split.
            predictions: logits `[samples, classes]` and labels `[samples]` of labelled samples; None for samples with
                positions, which are not independent, and where no logits were stored.
        """

    def describe(self, metrics: Mapping[str, Any], bounds: Bounds | None) -> str:
        """Return in words how the interval was computed; empty if there is none."""
        return "" if bounds is None else self.name


@dataclass(frozen=True)
class Wilson(Interval):
    """Wilson's interval of a share.

    Args:
        of: the metric that counts the examples.
        counted: the metric that counts the examples in the share; None: no metric does.

    >>> low, high = Wilson().bounds(0.5, {"samples": 10}, None)
    >>> round(low, 3), round(high, 3), Wilson(counted="errors").describe({"errors": 5, "samples": 10}, (low, high))
    (0.237, 0.763, '5 of 10, Wilson')
    """

    name: ClassVar[str] = "Wilson"
    of: str = "samples"
    counted: str | None = None

    def bounds(
        self, value: float, metrics: Mapping[str, Any], predictions: tuple[Tensor, Tensor] | None
    ) -> Bounds | None:
        """Return the ends; None if the share is not a share of so many examples."""
        examples = metrics.get(self.of)
        if not examples:
            return None
        # agreement may include unlabelled samples, which `samples` does not count; its share then gives no whole number
        count = round(value * examples)
        is_whole = abs(value * examples - count) < WHOLE_NUMBER_TOLERANCE
        return wilson_interval(count, examples) if is_whole else None

    def describe(self, metrics: Mapping[str, Any], bounds: Bounds | None) -> str:
        """Return the two counts if a metric has them, and the name of the interval."""
        count = metrics.get(self.counted) if self.counted else None
        return self.name if count is None else f"{count} of {metrics.get(self.of)}, {self.name}"


@dataclass(frozen=True)
class Recorded(Interval):
    """An interval that is computed and stored with the metric itself.

    Args:
        method: how it was computed.
    """

    method: str

    @property
    def name(self) -> str:
        """Name of the method."""
        return self.method

    def bounds(
        self, value: float, metrics: Mapping[str, Any], predictions: tuple[Tensor, Tensor] | None
    ) -> Bounds | None:
        """Return None, because the ends are among the metrics where they are known."""
        return None


@dataclass(frozen=True)
class StudentT(Interval):
    """Student's interval of a mean over samples.

    Args:
        each: computes the value of each sample, `[samples]`, from logits and labels.
    """

    name: ClassVar[str] = "Student's t"
    each: Callable[[Tensor, Tensor], Tensor]

    def bounds(
        self, value: float, metrics: Mapping[str, Any], predictions: tuple[Tensor, Tensor] | None
    ) -> Bounds | None:
        """Return the ends; None for fewer than two samples, or if a value is infinite."""
        if predictions is None:
            return None
        values = self.each(*predictions)
        # one value has no spread, and an NLL is infinite where the label has probability 0
        if len(values) < 2 or not values.isfinite().all():
            return None
        _, low, high = mean_interval(values.numpy())
        return low, high


@dataclass(frozen=True)
class Measured(Interval):
    """An interval that is measured and stored together with its metric, because it needs more than counts.

    Args:
        method: name of the method.
        statistic: computes the metric with the influence of each sample from logits `[samples, classes]` and labels
            `[samples]`.
    """

    method: str
    statistic: Linearise

    @property
    def name(self) -> str:
        """Name of the method."""
        return self.method

    @property
    def linearise(self) -> Linearise:
        """Computes the metric with the influence of each sample."""
        return self.statistic

    def bounds(
        self, value: float, metrics: Mapping[str, Any], predictions: tuple[Tensor, Tensor] | None
    ) -> Bounds | None:
        """Return None: where it was not stored, such as for positions of a sample, there is none."""
        return None
