"""Who answers: anything that turns a batch into targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import nn

from instar.compute.execution import MemoryFormat
from instar.compute.precision import Precision
from instar.data import Batch, Samples
from instar.models.carried import Carried
from instar.targets import Targets

AT_ONCE = 64
"""Samples that a network with 2-d convolutions is asked about at once on a CPU, beside a student that trains.

The images between the layers then stay nearer to its caches, which takes up to a fifth off a ResNet-20 or WRN-16-2.
"""


def as_long(answers: Targets, batch: Batch) -> Targets:
    """Return kept answers about whole samples without the positions that a batch leaves out."""
    return answers if batch.labels.dim() == 1 else answers.first(batch.labels.shape[1])


class Teacher(ABC):
    """Answers batches with targets. Training cannot tell kinds of teachers apart, and cannot change them.

    One that is made of others names them as its `members`.
    """

    members: Sequence[Teacher] = ()
    classes: tuple[str, ...] | None = None
    """The names of its classes, where it knows them; without names, only its error can tell another order."""

    @abstractmethod
    def targets(self, batch: Batch) -> Targets:
        """Return what this teacher says about a batch, without gradients."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of everything that its answers depend on, beside the batch."""

    def prepare(  # noqa: B027 (doing nothing is a fair default)
        self,
        device: torch.device,
        precision: Precision,
        *,
        memory_format: MemoryFormat = "auto",
        compile_for: Collection[int] = (),
        at_once: int = AT_ONCE,
    ) -> None:
        """Move to `device` and compute so from now on; nothing to do for a teacher without matrices.

        Args:
            device: where the batches will be.
            precision: arithmetic of the products.
            memory_format: layout of images.
            compile_for: sizes of batches that will come so often that compiling for them pays.
            at_once: samples that a network with 2-d convolutions is asked about at once on a CPU.
        """

    def modules(self) -> list[nn.Module]:
        """Return the networks inside, so that training can prove that it shares nothing with them."""
        return [module for member in self.members for module in member.modules()]

    def carried(self) -> list[Carried]:
        """Return the hidden states of the networks inside, which a run that resumes goes on from."""
        return [carried for member in self.members for carried in member.carried()]

    def knows(self, samples: Samples) -> bool:
        """Return whether it can be asked about these samples as they are; a store knows those it was made from."""
        return all(member.knows(samples) for member in self.members)

    def settings(self) -> dict[str, Any]:
        """Return the settings of a run that it can teach alone: a store has the views that it was made from."""
        return {}
