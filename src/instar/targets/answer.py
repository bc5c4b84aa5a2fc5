"""What a teacher answers: targets, and the outputs of hidden layers where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from instar.targets.targets import Targets


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer of a teacher to a batch.

    Args:
        targets: its targets.
        features: outputs of the layers that were asked for, `[batch, ...]` by name, without gradients.
    """

    targets: Targets
    features: Mapping[str, Tensor] = field(default_factory=dict)
