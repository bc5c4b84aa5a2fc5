"""Who answers: anything that turns a batch into targets."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from instar.data import Batch
from instar.precision import Precision
from instar.targets import Targets


class Teacher(ABC):
    """Answers batches with targets. Training cannot tell kinds of teachers apart, and cannot change them."""

    @abstractmethod
    def targets(self, batch: Batch) -> Targets:
        """Return what this teacher says about a batch, without gradients."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of everything that its answers depend on, beside the batch."""

    def prepare(self, device: torch.device, precision: Precision) -> None:  # noqa: B027 (doing nothing is a fair default)
        """Move to `device` and compute in `precision` from now on; nothing to do for a teacher without matrices."""

    def modules(self) -> list[nn.Module]:
        """Return the networks inside, so that training can prove that it shares nothing with them."""
        return []
