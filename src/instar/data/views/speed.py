"""Recordings that are played faster or slower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from instar.checks import checked
from instar.data.views.frames import index_frames, lengths_of, require_frames, take_frames
from instar.data.views.view import View
from instar.seeds import Draws

Change = Annotated[float, Field(gt=0, lt=1, description="above 0 and below 1")]


@checked
@dataclass(frozen=True)
class Speed(View):
    """Play recordings faster or slower, by a factor f uniform in [1 - change, 1 + change].

    This view changes frames, not sound: time is stretched and bands stay, so the pitch stays (a change of tempo). The
    speed perturbation of Ko et al. (2015) resamples the sound, which also changes the pitch.

    A recording of n frames keeps its length. Frame t shows the time s = min(max(b + f t, 0), n - 1), interpolated
    linearly between the frames before and after. The begin b is uniform between 0 and (1 - f)(n - 1). So a slower
    recording loses frames at one or both ends, and a faster one repeats its first or last frame. A label of frames
    moves with them: frame t has the label of frame floor(s + 1/2).

    Args:
        change: largest change of the speed.

    >>> frames = torch.tensor([[[0.0], [1.0], [2.0], [3.0], [4.0]]])
    >>> drawn = Draws(seed=0, ids=torch.tensor([1]), view=0)
    >>> [round(value, 2) for value in Speed(0.5)(frames, drawn).flatten().tolist()]
    [0.54, 1.28, 2.01, 2.75, 3.49]
    >>> Speed(0.5).shown_positions(5, drawn).tolist()
    [[1, 1, 2, 3, 3]]
    """

    change: Change = 0.1

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Show each recording at its own speed."""
        require_frames(inputs, "Speed")
        lengths = lengths_of(inputs.shape[1], draws)
        times = self._times(inputs.shape[1], lengths, draws)
        before = times.long()
        after = torch.minimum(before + 1, lengths[:, None] - 1)
        share = (times - before).to(inputs.dtype)[:, :, None]
        # not by lerp, whose last bits depend on where a value lies in memory, and so on the batch
        return take_frames(inputs, before) * (1 - share) + take_frames(inputs, after) * share

    def shown_positions(self, count: int, draws: Draws) -> Tensor | None:
        """Return the frame of the recording that is nearest to what each frame shows, int64 `[batch, count]`."""
        lengths = lengths_of(count, draws)
        at = torch.arange(count, device=lengths.device)
        return torch.where(at < lengths[:, None], (self._times(count, lengths, draws) + 0.5).long(), at)

    def _times(self, frames: int, lengths: Tensor, draws: Draws) -> Tensor:
        """Return the time that each frame shows, in frames of the recording, float64 `[batch, frames]`."""
        factor = 1 + self.change * (2 * draws.uniform("factor") - 1)
        last = lengths - 1
        begin = draws.uniform("begin") * (last * (1 - factor))
        times = begin[:, None] + factor[:, None] * index_frames(frames, lengths)
        return torch.minimum(times.clamp(min=0), last[:, None].double())
