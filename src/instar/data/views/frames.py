"""What views of recordings share: frames, and their means."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.errors import MismatchError
from instar.seeds import Draws

SUM_BITS = 32
"""Bits of a number in a sum of frames, so that 2^30 frames fit into 63 bits."""


def require_frames(inputs: Tensor, name: str) -> None:
    """Refuse inputs that are not frames of recordings.

    Raises:
        MismatchError: when the inputs are not floats `[batch, frames, bands]`.
    """
    if inputs.dim() != 3 or not inputs.is_floating_point():
        raise MismatchError(
            f"view '{name}' needs frames of recordings [batch, frames, bands], got {inputs.dtype} inputs of shape "
            f"{list(inputs.shape)}."
        )


def lengths_of(frames: int, draws: Draws) -> Tensor:
    """Return how many of the `frames` of each recording are not padding, int64 `[batch]`."""
    if draws.lengths is not None:
        return draws.lengths
    return torch.full_like(draws.ids, frames)


def index_frames(frames: int, lengths: Tensor) -> Tensor:
    """Return the index of each frame; padding has that of the last frame, which it repeats. int64 `[batch, frames]`.

    What a view does to the last frame it does to the padding too, because a network may see both in one window, and
    the padding of a recording depends on its batch.

    >>> index_frames(4, torch.tensor([2, 4])).tolist()
    [[0, 1, 1, 1], [0, 1, 2, 3]]
    """
    at = torch.arange(frames, device=lengths.device)
    return torch.minimum(at, lengths[:, None] - 1).clamp(min=0)


def take_frames(inputs: Tensor, index: Tensor) -> Tensor:
    """Return the frames of each recording at `index` `[batch, frames]`, `[batch, frames, bands]`."""
    return inputs.gather(1, index[:, :, None].expand(-1, -1, inputs.shape[2]))


def mean_bands(inputs: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each band over the frames of a recording, `[batch, 1, bands]`.

    >>> mean_bands(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([2])).tolist()
    [[[1.5]]]
    """
    is_frame = torch.arange(inputs.shape[1], device=inputs.device) < lengths[:, None]  # [batch, frames]
    values = torch.where(is_frame[:, :, None], inputs.double(), 0.0)
    # summed as whole numbers, because the last bits of a sum of floats depend on the padding, and so on the batch
    exponent = torch.frexp(values.abs().amax((1, 2)))[1]
    unit = torch.exp2((exponent - SUM_BITS).double())[:, None]
    total = (values / unit[:, :, None]).round().long().sum(1)  # [batch, bands]
    return (total * unit / lengths.clamp(min=1)[:, None])[:, None].to(inputs.dtype)
