"""What a term asks of logits that are constant over many examples, for students that fit means of targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from instar.data.batch import Batch
from instar.targets.targets import Targets


@dataclass(frozen=True, eq=False)
class Aim:
    """A loss of each example whose minimum over constant logits follows from sums of targets alone.

    With a temperature T, l_n(z) = w_n CE(p_n, softmax(z / T)), whose sum is least at z = T log of the weighted mean
    of p_n. Without, l_n(z) = w_n |z' - v'_n|^2 / (2 C) over C classes, with z' = z - mean z, whose sum is least at the
    weighted mean of v'_n.

    Args:
        targets: probabilities p, or logits v, `[examples, classes]`.
        temperature: T; None: the targets are logits.
        weights: w, `[examples]`, with the T^2 of soft targets; None: ones.
    """

    targets: Tensor
    temperature: float | None
    weights: Tensor | None = None


@runtime_checkable
class Aiming(Protocol):
    """A term that is an aim, such as `HardLabels`, `SoftTargets` and `LogitMatching`."""

    def aim(self, batch: Batch, targets: Targets | None, classes: int) -> Aim:
        """Return the aim, without the weights that the objective applies.

        Args:
            batch: samples without positions.
            targets: targets of the teacher; None if no term needs a teacher.
            classes: number of classes.
        """
