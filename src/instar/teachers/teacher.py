"""Teachers: anything that turns a batch into targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.execution import Execution
from instar.data.batch import Batch
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.models.carried import Carried
from instar.models.class_names import explain_other_number
from instar.models.failures import name_failure
from instar.models.named_layers import LayerNames
from instar.models.outputs import refuse_other_rows
from instar.targets.answer import Answer
from instar.targets.targets import Targets


def drop_positions(targets: Targets, batch: Batch) -> Targets:
    """Return stored targets of whole samples without the positions that a batch leaves out."""
    # a batch is cut to its longest sample, and targets were stored for the longest sample of all
    return targets if batch.labels.dim() == 1 else targets.first(batch.labels.shape[1])


def query(teacher: Teacher, batch: Batch) -> Targets:
    """Return the targets of a teacher for a batch of a loader.

    Raises:
        MismatchError: when the teacher has another number of classes than the data.
    """
    return ask(teacher, batch).targets


def ask(teacher: Teacher, batch: Batch, features: Sequence[str] = ()) -> Answer:
    """Return the answer of a teacher to a batch of a loader, with the outputs of layers by name.

    Raises:
        MismatchError: when the teacher has another number of classes than the data, no layers, or layers without a row
            for each sample.
    """
    answer = teacher.answer(batch, features)
    refuse_other_rows(answer.features, len(batch), "the teacher")
    found = answer.targets
    if batch.origin is not None and found.num_classes != (classes := batch.origin.samples.num_classes):
        names, who = batch.origin.samples.source.classes, f"the teacher {type(teacher).__name__}"
        raise MismatchError(explain_other_number(who, teacher.classes, found.num_classes, names, classes))
    return answer


def _checked(targets: Callable[[Any, Batch], Targets]) -> Callable[[Any, Batch], Targets]:
    @wraps(targets)
    def checked(self: Any, batch: Batch) -> Targets:
        name, expected = type(self).__name__, tuple(batch.labels.shape)
        with name_failure("the teacher", self, batch):
            found = targets(self, batch)
        if not isinstance(found, Targets):
            raise MismatchError(
                f"the method 'targets' of the teacher {name} must return Targets, such as DenseTargets(logits), got "
                f"{type(found).__name__}."
            )
        # here and not in the loss, where another shape could broadcast to a wrong number
        if found.shape is not None and tuple(found.shape) != expected:
            wanted, got = (f"[{', '.join(map(str, (*shape, 'classes')))}]" for shape in (expected, found.shape))
            raise MismatchError(f"the teacher {name} must return targets of shape {wanted}, got {got}.")
        return found

    return checked


class Teacher(ABC):
    """A predictor of targets for batches. Training treats all teachers the same, and changes none.

    A teacher that combines others lists them as its `members`.
    """

    members: Sequence[Teacher] = ()
    classes: tuple[str, ...] | None = None
    """Names of the classes, if they are known. Without names, only the error rate reveals another order."""
    without_layers: str = "has none"
    """Why `layers` returns None, as the end of a sentence about hidden layers."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        # a defect in a user's class becomes a sentence that names the class; one of ours needs its traceback
        is_own = cls.__module__.partition(".")[0] == "instar"
        if "targets" in vars(cls) and not is_own:
            cls.targets = _checked(cls.targets)  # type: ignore[assignment, method-assign]  # a class may replace its method

    answers_by_row: bool = False
    """Whether the targets of a sample depend on nothing else in its batch, so that many samples may be one query."""

    @abstractmethod
    def targets(self, batch: Batch) -> Targets:
        """Return the targets of a batch, without gradients."""

    def layers(self) -> LayerNames | None:
        """Return the layers whose outputs `answer` returns; None for most teachers, which have none."""
        return None

    def answer(self, batch: Batch, features: Sequence[str] = ()) -> Answer:
        """Return the targets of a batch, and the outputs of some of `layers` by name, without gradients.

        Raises:
            MismatchError: when it has no layers.
        """
        if features:
            raise MismatchError(f"hidden layers were asked for, and {self.describe_lack()}.")
        return Answer(self.targets(batch))

    def describe_lack(self) -> str:
        """Return why there are no hidden layers, as a clause."""
        return f"the teacher {type(self).__name__} {self.without_layers}"

    def describe_kind(self) -> str:
        """Return what kind of teacher it is, with the class that it wraps: how a run folder names a given object."""
        return type(self).__name__

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of everything that the targets depend on, except the batch."""

    def prepare(self, execution: Execution) -> None:
        """Move to the device of `execution`, and use its settings from now on."""
        for member in self.members:
            member.prepare(execution)

    def modules(self) -> list[nn.Module]:
        """Return the networks of the teacher, so that training can verify that it shares no weights with them."""
        return [module for member in self.members for module in member.modules()]

    def carried(self) -> list[Carried]:
        """Return the hidden states of the networks, which a checkpoint holds."""
        return [carried for member in self.members for carried in member.carried()]

    def knows(self, samples: Samples) -> bool:
        """Return whether it can predict these samples without augmentation; a store knows only its own samples."""
        return all(member.knows(samples) for member in self.members)

    def lacks(self, samples: Samples) -> Tensor:
        """Return which of these samples a run must leave out, because nobody predicted them, bool `[n]`."""
        found = torch.zeros(len(samples), dtype=torch.bool)
        for member in self.members:
            found |= member.lacks(samples)
        return found

    def reorder_members(self, names: tuple[str, ...]) -> Teacher | None:
        """Return this teacher with each member in the order of `names`; None where all have the order of `classes`."""
        return None

    def settings(self) -> dict[str, Any]:
        """Return the settings that a run with this teacher must have; a store needs the views it was made with."""
        return {}
