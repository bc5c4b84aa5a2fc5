"""Logits that are not computed yet: hidden states and the output layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.compute.precision import Precision, current_precision, use_matmul_library


@dataclass(frozen=True, eq=False)
class Projected:
    """Logits z = W h + b that are computed later, for a tile of examples at a time.

    A network with many classes returns hidden states in place of logits, so that the loss never holds all logits at
    once. The product uses the precision that was in force when the network returned.

    Args:
        hidden: hidden states h, `[..., units]`.
        weight: output weights W, `[classes, units]`.
        bias: output bias b, `[classes]`; None means 0.
        precision: precision of the product; the precision of the current context when left out.

    >>> projected = Projected(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    >>> projected.logits(), projected.precision
    (tensor([[1., 2., 3.]]), 'float32')
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    precision: Precision = None  # type: ignore[assignment]  # set in __post_init__, where the device is known

    def __post_init__(self) -> None:
        # now, because the network's autocast context has ended when the logits are computed
        if self.precision is None:
            object.__setattr__(self, "precision", current_precision(self.hidden.device))

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.weight)

    def logits(self) -> Tensor:
        """Compute all logits z, `[..., classes]`, in the dtype of the product."""
        cast, shape = self.cast(), self.hidden.shape
        # autocast off: `cast` has done its work already, and autocast would cast the weights again for every tile
        with use_matmul_library(self.precision), torch.autocast(self.hidden.device.type, enabled=False):
            # one product of two matrices: a recurrent layer returns position-major memory, and torch would multiply it
            # position by position, which takes twice as long
            flat = F.linear(cast.hidden.reshape(-1, shape[-1]), cast.weight, cast.bias)
        return flat.view(*shape[:-1], self.num_classes)

    def rows(self, index: Tensor | slice | tuple[slice, ...]) -> Projected:
        """Select the examples at `index`."""
        return replace(self, hidden=self.hidden[index])

    def flat(self) -> Projected:
        """Flatten samples and positions to examples, `[examples, classes]`."""
        return replace(self, hidden=self.hidden.flatten(0, -2))

    def cast(self) -> Projected:
        """Cast to the dtype of the product; a caller that computes logits several times then casts the weights once."""
        return self._each(Tensor.bfloat16) if self.precision == "bfloat16" else self

    def detach(self) -> Projected:
        """Detach from the graph of gradients."""
        return self._each(Tensor.detach)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Projected:
        bias = None if self.bias is None else change(self.bias)
        return replace(self, hidden=change(self.hidden), weight=change(self.weight), bias=bias)
