"""What a term asks of logits that are constant over many examples, for students that fit means of targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from instar.data.batch import Batch
from instar.targets.targets import Targets


@dataclass(frozen=True, eq=False)
class Aim:
    """A loss of each example whose least sum over constant logits, or a constant number, is found without gradients.

    With a temperature T, l_n(z) = w_n CE(p_n, softmax(z / T)), whose sum is least at z = T log of the weighted mean
    of p_n. Without, l_n(z) = w_n |z' - v'_n|^2 / (2 C) over C classes, with z' = z - mean z, whose sum is least at the
    weighted mean of v'_n.

    Numbers are one column of targets y: l_n(z) = w_n |z - y_n|^2 / 2, or w_n l(z - y_n) with another convex loss l.

    Args:
        targets: probabilities p, logits v, or numbers y in standard deviations of the training labels from their mean,
            `[examples, classes]`.
        temperature: T; None: the targets are logits or numbers.
        weights: w, `[examples]`, with the T^2 of soft targets; None: ones.
        are_numbers: whether the targets are numbers.
        of_distances: l, by element; None: half the square.
    """

    targets: Tensor
    temperature: float | None
    weights: Tensor | None = None
    are_numbers: bool = False
    of_distances: Callable[[Tensor], Tensor] | None = None


@runtime_checkable
class Aiming(Protocol):
    """A term that is an aim, such as `HardLabels`, `SoftTargets`, `LogitMatching` and those of numbers."""

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the aim, without the weights that the objective applies.

        Args:
            batch: samples without positions.
            targets: targets of the teacher; None if no term needs a teacher.
            classes: number of classes.
        """
