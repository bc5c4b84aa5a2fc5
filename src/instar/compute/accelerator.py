"""The device and the processes that this program was launched on."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin


def make_accelerator() -> Accelerator:
    """Return the device and the processes of the launch, and no other setting of a launcher."""
    # several processes on a CPU are seen only when asked for; precision and micro-batches are the configuration's
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
