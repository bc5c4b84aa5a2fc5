"""Random ranges of frequencies that are masked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import Count, checked
from instar.data.views.frames import lengths_of, mean_bands, require_frames
from instar.data.views.view import View
from instar.errors import ConfigError
from instar.seeds import Draws


@checked
@dataclass(frozen=True)
class FrequencyMask(View):
    """Replace ranges of bands by their means over the recording, as in SpecAugment (Park et al. 2019).

    The width of a range is uniform in 0..bands, and it may begin anywhere that it fits.

    Args:
        bands: most bands of a range.
        masks: number of ranges, which may overlap.

    Raises:
        ConfigError: when a recording has fewer bands.

    >>> frames = torch.tensor([[[0.0, 1.0, 2.0], [4.0, 5.0, 6.0]]])
    >>> FrequencyMask(2, 1)(frames, Draws(seed=0, ids=torch.tensor([1]), view=0)).tolist()
    [[[2.0, 3.0, 2.0], [2.0, 3.0, 6.0]]]
    """

    bands: Count = 8
    masks: Count = 2

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Mask the ranges of each recording in all of its frames."""
        require_frames(inputs, "FrequencyMask")
        given = inputs.shape[2]
        if self.bands > given:
            raise ConfigError(f"FrequencyMask({self.bands}) masks more bands than the {given} of a recording.")
        at = torch.arange(given, device=inputs.device)
        is_masked = torch.zeros(len(inputs), given, dtype=torch.bool, device=inputs.device)
        for number in range(self.masks):
            width = (draws.uniform(f"width {number}") * (self.bands + 1)).long()
            begin = (draws.uniform(f"begin {number}") * (given - width + 1)).long()
            is_masked |= (at >= begin[:, None]) & (at < (begin + width)[:, None])
        return torch.where(is_masked[:, None], mean_bands(inputs, lengths_of(inputs.shape[1], draws)), inputs)
