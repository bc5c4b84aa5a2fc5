"""Detection of weights that became NaN or infinite."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from instar.errors import NonFiniteError


class Finiteness:
    """Finds weights that became NaN or infinite; ignores those that are so by design, such as attention masks.

    Args:
        model: model before its first step.

    Raises:
        NonFiniteError: when a trained weight is NaN or infinite before the first step.

    >>> model = nn.Module()
    >>> model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    >>> start = Finiteness(model)
    >>> start.first_bad(model.state_dict()), start.first_bad({"mask": torch.tensor([0.0, torch.nan])})
    (None, 'mask')
    """

    def __init__(self, model: nn.Module) -> None:
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        # copies only of what is not finite: usually a few masks, and not a second model
        self._start = {name: tensor.clone() for name, tensor in model.state_dict().items() if not _is_finite(tensor)}
        for name in self._start:
            if name in trained:
                raise NonFiniteError(f"weight '{name}' is NaN or infinite before the first step; mend the model.")

    def first_bad(self, weights: Mapping[str, Tensor]) -> str | None:
        """Return the name of the first weight or buffer that has become NaN or infinite; None: there is none."""
        for name, tensor in weights.items():  # buffers too: the statistics of a batch normalisation may overflow alone
            if not _is_finite(tensor) and not self._is_as_it_was(name, tensor):
                return name
        return None

    def _is_as_it_was(self, name: str, tensor: Tensor) -> bool:
        start = self._start.get(name)
        if start is None or start.shape != tensor.shape:
            return False
        # element by element, because the finite part of a mask may become NaN; and NaN is not equal to itself
        same = (tensor == start.to(tensor.device)) | (tensor.isnan() & start.to(tensor.device).isnan())
        return bool((tensor.isfinite() | same).all())


def _is_finite(tensor: object) -> bool:
    # a state may hold other objects, and sparse tensors, which are not compared
    return not isinstance(tensor, Tensor) or tensor.layout != torch.strided or bool(torch.isfinite(tensor).all())


def averages(tensor: Tensor) -> bool:
    """Return whether a weight or buffer has a moving average: not counters, which are whole numbers, and not masks."""
    # the difference of -inf and -inf, which an average adds, is NaN
    return tensor.is_floating_point() and _is_finite(tensor)
