"""Logits of any teacher or model about samples, by the same code for all."""

from __future__ import annotations

import torch
from torch import Tensor

from instar.analysis.metrics import quick_metrics
from instar.data import Loader, Samples
from instar.teachers import Teacher

BATCH_SIZE = 256
"""Larger batches fall out of the cache of a CPU, and were slower."""


@torch.no_grad()
def predict(teacher: Teacher, samples: Samples, device: torch.device | str = "cpu") -> Tensor:
    """Return logits (log-probabilities up to a constant) at temperature 1, float32 `[samples, classes]` on the CPU."""
    loader = Loader(samples, BATCH_SIZE, seed=0, device=device)
    # one transfer, because each makes an accelerator wait
    return torch.cat([teacher.targets(batch).logits().float() for batch in loader.in_order()]).cpu()


def validate(teacher: Teacher, samples: Samples, device: torch.device | str = "cpu") -> dict[str, float]:
    """Return error and NLL on labelled samples."""
    return quick_metrics(predict(teacher, samples, device), samples.labels)
