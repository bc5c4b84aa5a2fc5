"""Prototypes with logits as a model: a row has the logits of the prototype that is nearest to it."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from instar.checks import Count, NonNegative, checked
from instar.errors import MismatchError
from instar.models.fitted import Fitted
from instar.models.outputs import is_tracing

BLOCK_NUMBERS = 1 << 22
"""Distances that are computed together."""


@checked
class Nearest(Fitted):
    """z(x) = v_k with k = argmin_k |x - m_k|^2 over prototypes m_k with logits v_k; the first of equal ones.

    Inputs are standardised. `instar.students.nearest` says how prototypes and logits are found.

    Args:
        prototypes: most prototypes of each class, or of all samples where labels are numbers.
        smoothing: samples with the mean targets of all that each prototype counts beside its own.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.

    >>> Nearest(input_shape=(4,), num_classes=3).sizes()
    {'parameters': 7, 'prototypes': 1}
    """

    standardises = True
    centres: Tensor
    logits: Tensor

    def __init__(
        self,
        prototypes: Count = 10,
        smoothing: NonNegative = 1.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.most_prototypes, self.smoothing = prototypes, smoothing
        super().__init__({"prototypes": prototypes, "smoothing": smoothing}, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make one prototype."""
        self.columns, self.num_classes = prod(input_shape), num_classes
        self.register_buffer("centres", torch.zeros(1, self.columns))
        self.register_buffer("logits", torch.zeros(1, num_classes))

    def check(self) -> None:
        """Refuse prototypes of other sizes, or with numbers that are not finite.

        Raises:
            MismatchError: says which.
        """
        wanted = [(len(self.centres), self.columns), (len(self.centres), self.num_classes)]
        if not len(self.centres) or [self.centres.shape, self.logits.shape] != wanted:
            raise MismatchError(
                f"prototypes must have the shapes [prototypes, {self.columns}] and [prototypes, {self.num_classes}], "
                f"got {list(self.centres.shape)} and {list(self.logits.shape)}."
            )
        if not (self.centres.isfinite().all() and self.logits.isfinite().all()):
            raise MismatchError("prototypes must be finite numbers.")

    def find_nearest(self, inputs: Tensor) -> Tensor:
        """Return the number of the nearest prototype of each row, int64 `[batch]`."""
        rows = inputs.flatten(1).float()
        # |x|^2 is the same for all prototypes
        half = self.centres.square().sum(1) / 2
        if is_tracing():  # the graph would hold the number of pieces of one batch
            return (half - rows @ self.centres.T).argmin(1)
        pieces = rows.split(max(1, BLOCK_NUMBERS // len(self.centres)))
        return torch.cat([(half - piece @ self.centres.T).argmin(1) for piece in pieces])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]`, float32, of inputs `[batch, ...]`; NaN where an input is missing."""
        self._require_layers()
        is_missing = inputs.flatten(1).isnan().any(1, keepdim=True)
        found = self.logits[self.find_nearest(inputs.nan_to_num(0))]
        return found.masked_fill(is_missing, torch.nan)

    def sizes(self) -> dict[str, int]:
        """Return the numbers of all prototypes, and how many there are."""
        return {"parameters": self.centres.numel() + self.logits.numel(), "prototypes": len(self.centres)}
