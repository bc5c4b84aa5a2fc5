"""Mixup: a weighted mean of two samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import checked
from instar.data.views.mixing import Alpha, MixingView, Probability, draw_ratios
from instar.seeds import Draws

RATIO_STEPS = 1 << 16
"""Number of steps of a mixing ratio: a product of a pixel and a ratio is then exact in float32, on all devices."""

MAX_PIECE_VALUES = 1 << 17
"""Number of values that a CPU mixes at once: half a mebibyte of float32."""


@checked
@dataclass(frozen=True)
class Mixup(MixingView):
    """x = lambda x_i + (1 - lambda) x_j with a partner j and lambda from Beta(alpha, alpha), and so for the labels.

    Each sample draws its own lambda and partner. Pixels are rounded to whole numbers. `Mixup(1)` draws lambda
    uniformly, as function matching does (Beyer et al. 2022).

    Source: Zhang et al. 2018, "mixup: Beyond empirical risk minimization", section 1.

    Args:
        alpha: parameter of the beta distribution; 0.1 to 0.4 in the paper.
        probability: probability that a sample is mixed.

    Raises:
        ConfigError: when an argument is out of range.

    >>> pixels, others = torch.tensor([[0, 100]], dtype=torch.uint8), torch.tensor([[200, 100]], dtype=torch.uint8)
    >>> mixed, ratios = Mixup(1.0).mix(pixels, others, Draws(seed=0, ids=torch.tensor([5]), view=0))
    >>> mixed.tolist(), round(200 * (1 - ratios.item()))
    ([[177, 100]], 177)
    """

    alpha: Alpha = 0.2
    probability: Probability = 1.0

    def mix(self, inputs: Tensor, partners: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the weighted means, in the dtype of `inputs`, and lambda."""
        ratios = (draw_ratios(self.alpha, self.probability, draws) * RATIO_STEPS).round() / RATIO_STEPS
        own = ratios.to(torch.promote_types(inputs.dtype, torch.float32)).view(-1, *[1] * (inputs.dim() - 1))
        mixed = torch.empty_like(inputs)
        # in pieces that stay in the cache of a CPU, because the floats of a whole batch take five times as long
        rows = max(1, MAX_PIECE_VALUES // inputs[0].numel()) if inputs.device.type == "cpu" else len(inputs)
        for first, second, ratio, found in zip(*(t.split(rows) for t in (inputs, partners, own, mixed)), strict=True):
            # two products and a sum, each rounded alike wherever a sample is in its batch; a fused lerp is not
            mean = (first * ratio).add_(second * (1 - ratio))
            found.copy_(mean if inputs.is_floating_point() else mean.round_())
        return mixed, ratios
