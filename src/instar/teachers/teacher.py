"""Who answers: anything that turns a batch into targets."""

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

    def prepare(self, execution: Execution) -> None:
        """Move to the device of `execution`, and compute as it says from now on."""
        for member in self.members:
            member.prepare(execution)

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
