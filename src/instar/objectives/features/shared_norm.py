"""Batch normalisation over the whole batch where several processes share it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instar.compute.processes import count_processes, sum_processes


class SharedBatchNorm(nn.BatchNorm2d):
    """y = w (x - mean) / sqrt(variance + epsilon) + b with mean and variance over the samples of all processes.

    In one process it is torch's own. Torch's `SyncBatchNorm` needs an accelerator.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised images, `[batch, channels, height, width]`."""
        if not self.training or count_processes() == 1:
            return super().forward(input)
        axes = (0, 2, 3)
        count = sum_processes(input.new_tensor(input.numel() / input.shape[1]))
        mean = sum_processes(input.sum(axes)) / count
        centred = input - mean[:, None, None]
        variance = sum_processes(centred.square().sum(axes)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None, "statistics are tracked"
        assert self.running_var is not None, "statistics are tracked"
        assert self.num_batches_tracked is not None, "statistics are tracked"
        assert self.momentum is not None, "they are no mean over all batches"
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)
