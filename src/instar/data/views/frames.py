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


def lengths_of(inputs: Tensor, draws: Draws) -> Tensor:
    """Return the number of frames of each recording without its padding, int64 `[batch]`."""
    if draws.lengths is not None:
        return draws.lengths
    return torch.full((len(inputs),), inputs.shape[1], device=inputs.device)


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
