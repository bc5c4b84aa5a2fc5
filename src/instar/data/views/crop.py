"""Random crops of a padded image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from instar.checks import Count, checked
from instar.data.views.view import View, require_images
from instar.data.views.window import take_random_windows
from instar.seeds import Draws


@checked
@dataclass(frozen=True)
class Crop(View):
    """Pad by `padding` pixels, then crop a random window of the original size: the standard augmentation of CIFAR.

    >>> import torch
    >>> image = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
    >>> Crop(1)(image, Draws(seed=0, ids=torch.tensor([2]), view=0))[0, 0].tolist()
    [[3, 4, 5], [6, 7, 8], [3, 4, 5]]
    """

    padding: Count = 4
    mode: Literal["reflect", "zero"] = "reflect"

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Crop a window from each padded image."""
        require_images(inputs, "Crop", self.padding)
        return take_random_windows(inputs, self.padding, self.mode, draws)
