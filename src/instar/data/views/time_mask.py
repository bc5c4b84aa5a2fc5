"""Random stretches of time that are masked."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.checks import Count, checked
from instar.data.views.frames import index_frames, lengths_of, mean_bands, require_frames
from instar.data.views.random_resized_crop import Share
from instar.data.views.view import View
from instar.seeds import Draws


@checked
@dataclass(frozen=True)
class TimeMask(View):
    """Replace stretches of frames by the mean of the recording, as in SpecAugment (Park et al. 2019).

    The width of a stretch is uniform in 0..min(frames, share n) for a recording of n frames, and it may begin anywhere
    that it fits. Each band gets its own mean over the n frames.

    Args:
        frames: most frames of a stretch.
        share: largest share of the recording that a stretch may cover.
        masks: number of stretches, which may overlap.

    >>> frames = torch.tensor([[[0.0], [0.0], [8.0], [8.0], [4.0]]])
    >>> TimeMask(3, 1.0, 1)(frames, Draws(seed=0, ids=torch.tensor([1]), view=0)).flatten().tolist()
    [0.0, 4.0, 4.0, 4.0, 4.0]
    """

    frames: Count = 20
    share: Share = 0.2
    masks: Count = 2

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Mask the stretches of each recording."""
        require_frames(inputs, "TimeMask")
        lengths = lengths_of(inputs.shape[1], draws)
        most = (lengths * self.share).long().clamp(max=self.frames)
        at = index_frames(inputs.shape[1], lengths)
        is_masked = torch.zeros(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
        for number in range(self.masks):
            width = (draws.uniform(f"width {number}") * (most + 1)).long()
            begin = (draws.uniform(f"begin {number}") * (lengths - width + 1)).long()
            is_masked |= (at >= begin[:, None]) & (at < (begin + width)[:, None])
        return torch.where(is_masked[:, :, None], mean_bands(inputs, lengths), inputs)
