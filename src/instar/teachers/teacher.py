"""Teachers: anything that turns a batch into targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import nn

from instar.compute.execution import Execution
from instar.data.loader import Batch
from instar.data.samples import Samples
from instar.models.carried import Carried
from instar.targets.targets import Targets


def drop_positions(answers: Targets, batch: Batch) -> Targets:
    """Return stored targets of whole samples without the positions that a batch leaves out."""
    return answers if batch.labels.dim() == 1 else answers.first(batch.labels.shape[1])


class Teacher(ABC):
    """Predicts targets for batches. Training cannot tell kinds of teachers apart, and cannot change them.

    A teacher that combines others names them as its `members`.
    """

    members: Sequence[Teacher] = ()
    classes: tuple[str, ...] | None = None
    """The names of its classes, where they are known; without names, only its error shows another order."""

    @abstractmethod
    def targets(self, batch: Batch) -> Targets:
        """Return the targets of a batch, without gradients."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of everything that the targets depend on, beside the batch."""

    def prepare(self, execution: Execution) -> None:
        """Move to the device of `execution`, and compute as it says from now on."""
        for member in self.members:
            member.prepare(execution)

    def modules(self) -> list[nn.Module]:
        """Return the networks inside, so that training can prove that it shares nothing with them."""
        return [module for member in self.members for module in member.modules()]

    def carried(self) -> list[Carried]:
        """Return the hidden states of the networks inside, which a checkpoint holds."""
        return [carried for member in self.members for carried in member.carried()]

    def knows(self, samples: Samples) -> bool:
        """Return whether it can predict these samples without views; a store knows only those it was made from."""
        return all(member.knows(samples) for member in self.members)

    def settings(self) -> dict[str, Any]:
        """Return the settings that a run with this teacher must have: a store needs the views it was made with."""
        return {}
