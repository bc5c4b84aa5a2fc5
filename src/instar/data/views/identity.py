"""The view that changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.data.views.view import View
from instar.seeds import Draws


@dataclass(frozen=True)
class Identity(View):
    """No augmentation."""

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return `inputs` unchanged."""
        return inputs
