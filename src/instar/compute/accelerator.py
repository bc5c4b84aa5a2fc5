"""The device and the processes of the launch."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin


def make_accelerator() -> Accelerator:
    """Return an accelerator for the launched device and processes, without the launcher's other settings."""
    return Accelerator(
        # Accelerate notices several processes on a CPU only with this
        cpu=not torch.accelerator.is_available(),
        # precision and micro-batches are settings of a run, which its environment must not change
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
