"""Base class of the families without gradients, whose state is fitted in one go and kept in buffers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from instar.errors import MismatchError
from instar.models.architecture import Architecture


class Fitted(Architecture):
    """A model whose buffers are fitted to data; their sizes are known only then.

    Until it is fitted, its logits are zeros. A file may hold buffers of any size, so a family checks them when they are
    loaded.

    Args:
        arguments: keyword arguments of the constructor, as JSON values.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.
    """

    standardises: ClassVar[bool] = False
    """Whether inputs are standardised before the model; thresholds are those of the data's own numbers."""

    def __init__(self, arguments: dict[str, Any], input_shape: tuple[int, ...] | None, num_classes: int | None) -> None:
        self.is_fitted = False
        super().__init__(arguments, input_shape, num_classes)

    @abstractmethod
    def sizes(self) -> dict[str, Any]:
        """Return `parameters`, the fitted numbers that a prediction depends on, and other sizes by name."""

    @abstractmethod
    def check(self) -> None:
        """Refuse buffers that are no model of this family.

        Raises:
            MismatchError: says what is wrong.
        """

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of inputs `[batch, ...]`."""

    def features(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits, and no features."""
        return self(inputs), {}

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return no layers."""
        return []

    def fill(self, buffers: Mapping[str, Tensor]) -> None:
        """Take fitted buffers by name, and check them."""
        for name, tensor in buffers.items():
            setattr(self, name, tensor.to(getattr(self, name).device))
        self.is_fitted = True
        self.check()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: Any, strict: bool, *lists: list[str]
    ) -> None:
        # the sizes of the buffers are those of the file
        for name, mine in self.named_buffers(recurse=False):
            found = state_dict.get(prefix + name)
            if isinstance(found, Tensor) and found.dtype == mine.dtype and found.dim() == mine.dim():
                setattr(self, name, torch.empty_like(found, device=mine.device))
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, *lists)
        self.is_fitted = True
        try:
            self.check()
        except MismatchError as error:
            lists[-1].append(str(error))
