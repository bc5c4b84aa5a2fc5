"""Random shifts by whole pixels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from instar.checks import Count, checked
from instar.data.views.view import View, require_images
from instar.data.views.window import take_random_windows
from instar.seeds import Draws


@checked
@dataclass(frozen=True)
class Shift(View):
    """Shift by whole pixels, uniform in [-pixels, pixels] per axis, and fill with zeros, as in Hinton et al. 2015.

    >>> import torch
    >>> image = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
    >>> Shift(1)(image, Draws(seed=0, ids=torch.tensor([2]), view=0))[0, 0].tolist()
    [[3, 4, 5], [6, 7, 8], [0, 0, 0]]
    """

    pixels: Count = 2

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Shift each image by its own offset."""
        require_images(inputs, "Shift", self.pixels)
        return take_random_windows(inputs, self.pixels, "zero", draws)
