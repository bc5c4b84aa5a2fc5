"""Logits that are not made yet: hidden states, and the layer that would make logits of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.compute.precision import Precision, in_force, library


@dataclass(frozen=True, eq=False)
class Projected:
    """z = W h + b, to be made of as many examples at once as there is room for.

    A network of many classes returns it in place of logits, and their loss is found in tiles. Whenever logits are made,
    it is in the arithmetic that was in force when the network returned.

    Args:
        hidden: h, `[..., units]`.
        weight: W, `[classes, units]`.
        bias: b, `[classes]`; none: 0.
        precision: of the product; when left out, the one that is in force.

    >>> projected = Projected(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    >>> projected.logits(), projected.precision
    (tensor([[1., 2., 3.]]), 'float32')
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    precision: Precision = None  # type: ignore[assignment]  # set below, where the device is known

    def __post_init__(self) -> None:
        if self.precision is None:
            object.__setattr__(self, "precision", in_force(self.hidden.device))

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.weight)

    def logits(self) -> Tensor:
        """Return z, `[..., classes]`, all at once and in the type of the product."""
        cast, shape = self.cast(), self.hidden.shape
        with library(self.precision), torch.autocast(self.hidden.device.type, enabled=False):
            # as one product of two matrices: what a recurrent layer returns lies by position, and takes twice as long
            flat = F.linear(cast.hidden.reshape(-1, shape[-1]), cast.weight, cast.bias)
        return flat.view(*shape[:-1], self.num_classes)

    def rows(self, index: Tensor | slice | tuple[slice, ...]) -> Projected:
        """Return the logits of the examples at `index`."""
        return replace(self, hidden=self.hidden[index])

    def flat(self) -> Projected:
        """Return those of every position as an example of its own, `[examples, classes]`."""
        return replace(self, hidden=self.hidden.flatten(0, -2))

    def cast(self) -> Projected:
        """Return the same in the type of the product, so that who makes logits more than once casts weights once."""
        return self._each(Tensor.bfloat16) if self.precision == "bfloat16" else self

    def detach(self) -> Projected:
        """Return the same without gradients."""
        return self._each(Tensor.detach)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Projected:
        bias = None if self.bias is None else change(self.bias)
        return replace(self, hidden=change(self.hidden), weight=change(self.weight), bias=bias)
