"""The parts of a loss: each gives one number per example, and says what it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from torch import Tensor

from instar.data.loader import Batch
from instar.targets.targets import Targets

if TYPE_CHECKING:
    from instar.objectives.objective import Objective


class Need(Enum):
    """What a term may need."""

    LABELS = "labels"
    TEACHER = "a teacher"


@dataclass(frozen=True, eq=False)
class Value:
    """What a term found.

    Args:
        loss: what is minimised, one number per example, `[batch]` or `[batch, position]`.
        beside: numbers of the same shape that are recorded beside it and not minimised.
    """

    loss: Tensor
    beside: dict[str, Tensor] = field(default_factory=dict)


class Term(ABC):
    """One term of an objective. Terms add up: `SoftTargets(4) + 0.1 * HardLabels()`."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[Need]:
        """What must be there before the first step; most terms set it as an attribute of the class."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which the term is recorded; most terms set it as an attribute of the class."""

    @property
    def weighs_examples(self) -> bool:
        """Whether `weights` may tell examples apart."""
        return type(self).weights is not Term.weights

    @property
    def temperatures(self) -> frozenset[float]:
        """Those at which it asks the teacher: its `temperature` where it has one, and 1 otherwise."""
        return frozenset({float(getattr(self, "temperature", 1.0))})

    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return one number per example.

        Args:
            logits: of the student, float32 `[..., classes]`.
            batch: the examples, of which there may be none; its labels are `[...]`, `UNLABELLED` where there is none.
            targets: of the teacher; none when no term needs one.
        """

    def weights(self, batch: Batch, targets: Targets | None) -> Tensor | None:
        """Return how much each example counts, at least 0, `[...]`; none: all alike.

        The objective divides them by their mean over the whole batch, so they say how examples share the loss and not
        how large it is. Examples with weight 0 are left out of that mean.
        """
        return None

    def __add__(self, other: Term | Objective) -> Objective:
        return 1.0 * self + other

    def __rmul__(self, weight: float) -> Objective:
        from instar.objectives.objective import Objective  # a sum holds terms, and a term makes a sum

        return Objective(((weight, self),))
