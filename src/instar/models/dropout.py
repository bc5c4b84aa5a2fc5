"""Dropout with fast random numbers on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instar.errors import ConfigError


class Dropout(nn.Module):
    """In training, set each value to 0 with probability p, and scale the others by 1 / (1 - p).

    On a CPU, one draw of 64 bits decides four values, so p is rounded to a multiple of 2^-16. (torch draws one number
    per value, which took 43% of a step of the 784-1200-1200-10 teacher, see docs/log.md, 2026-11-21.) Draws come from
    torch's global generator, whose state is in the checkpoint. On other devices this is `torch.nn.functional.dropout`.

    Source: Hinton et al. 2012, "Improving neural networks by preventing co-adaptation of feature detectors".

    Args:
        p: probability of a 0, in [0, 1).

    Raises:
        ConfigError: when p is outside [0, 1).

    >>> layer = Dropout(0.5)
    >>> layer(torch.ones(1000)).unique().tolist(), layer.eval()(torch.ones(2)).tolist()
    ([0.0, 2.0], [1.0, 1.0])
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ConfigError(f"dropout must be at least 0 and below 1, got {p}.")
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `inputs` with some values dropped, same shape."""
        if not self.training or self.p == 0:
            return inputs
        if inputs.device.type != "cpu":
            return F.dropout(inputs, self.p)
        draws = torch.randint(-(2**63), 2**63 - 1, (-(-inputs.numel() // 4),))  # four 16-bit numbers each
        # int16 starts at -2^15; the limit is for a p just below 1, which would round to 2^16 and drop every value
        threshold = min(round(self.p * 2**16), 2**16 - 1) - 2**15
        kept = draws.view(torch.int16)[: inputs.numel()].view(inputs.shape) >= threshold
        # the mask is scaled in place, so that the product with the inputs is the only other new tensor
        return inputs * kept.to(inputs.dtype).mul_(1 / (1 - self.p))

    def extra_repr(self) -> str:
        """Return the argument, for `print`."""
        return f"p={self.p}"
