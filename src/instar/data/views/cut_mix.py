"""CutMix: a box of one image in another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import checked
from instar.data.views.mixing import Alpha, MixingView, Probability, draw_ratios
from instar.data.views.view import require_images
from instar.seeds import Draws


@checked
@dataclass(frozen=True)
class CutMix(MixingView):
    """Replaces a box of an image by that of its partner; the ratio of the labels is the ratio of the areas.

    With lambda from Beta(alpha, alpha), the box is H sqrt(1 - lambda) high and W sqrt(1 - lambda) wide, both rounded
    down, and its centre is a uniformly drawn pixel. What lies outside the image is cut off, and the ratio is that of
    the pixels that are left.

    Source: Yun et al. 2019, "CutMix: Regularization strategy to train strong classifiers", equations 1 and 2, and its
    code for the box.

    Args:
        alpha: parameter of the beta distribution; 1 in the paper.
        probability: probability that an image is mixed; 0.5 for CIFAR in the paper's code, 1 for ImageNet.

    Raises:
        ConfigError: when an argument is out of range.

    >>> black, white = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    >>> mixed, ratios = CutMix().mix(black, white, Draws(seed=0, ids=torch.tensor([1]), view=0))
    >>> mixed[0, 0].int().tolist(), ratios.tolist()
    ([[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], [0.875])
    """

    alpha: Alpha = 1.0
    probability: Probability = 1.0

    def mix(self, inputs: Tensor, partners: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the images with a box of their partners, and the share of their own pixels."""
        require_images(inputs, "CutMix")
        height, width = inputs.shape[2:]
        cut = (1 - draw_ratios(self.alpha, self.probability, draws)).sqrt()
        rows = _span(height, cut, draws.below(height, "row"))  # [batch, height]
        columns = _span(width, cut, draws.below(width, "column"))  # [batch, width]
        box = rows[:, None, :, None] & columns[:, None, None, :]
        ratios = 1 - (rows.sum(1) * columns.sum(1)).double() / (height * width)
        return torch.where(box, partners, inputs), ratios


def _span(size: int, cut: Tensor, centres: Tensor) -> Tensor:
    """Return which of `size` lines the box covers, bool `[batch, size]`."""
    half = (size * cut).long() // 2
    lines = torch.arange(size, device=cut.device)
    return (lines >= (centres - half)[:, None]) & (lines < (centres + half)[:, None])
