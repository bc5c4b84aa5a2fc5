"""A teacher with the classes of the data in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from instar.content import hash_repr
from instar.data.batch import Batch
from instar.data.opening import join_names
from instar.errors import MismatchError, say
from instar.models.named_layers import LayerNames
from instar.targets.answer import Answer
from instar.targets.targets import DenseTargets, Targets
from instar.teachers.teacher import Teacher


class Reordered(Teacher):
    """The logits of a teacher, with its classes in another order.

    Args:
        teacher: teacher with names of classes.
        names: the same names in another order.
    """

    def __init__(self, teacher: Teacher, names: tuple[str, ...]) -> None:
        self.members, self.classes, self.answers_by_row = (teacher,), names, teacher.answers_by_row
        place = {name: number for number, name in enumerate(teacher.classes or ())}
        self._order = torch.tensor([place[name] for name in names])  # column `order[i]` of the teacher is class i

    @property
    def columns(self) -> list[int]:
        """Column of the teacher's own logits for each class."""
        found: list[int] = self._order.tolist()
        return found

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the teacher's logits in the order of `names`."""
        return self._reorder(self.members[0].targets(batch))

    def layers(self) -> LayerNames | None:
        """Return the layers of the teacher."""
        return self.members[0].layers()

    def describe_lack(self) -> str:
        """Return why the teacher has no hidden layers."""
        return self.members[0].describe_lack()

    def answer(self, batch: Batch, features: Sequence[str] = ()) -> Answer:
        """Return the teacher's logits in the order of `names`, and the outputs of its layers."""
        if features:  # gradients of layers are those of the label, by its number among the teacher's classes
            known = batch.labels >= 0
            self._order = self._order.to(batch.labels.device)
            batch = replace(batch, labels=torch.where(known, self._order[batch.labels.clamp(min=0)], batch.labels))
        answer = self.members[0].answer(batch, features)
        return Answer(self._reorder(answer.targets), answer.features)

    def _reorder(self, targets: Targets) -> DenseTargets:
        logits = targets.logits()
        self._order = self._order.to(logits.device)  # kept there, so that the next step copies nothing
        return DenseTargets(logits.index_select(-1, self._order))

    def fingerprint(self) -> str:
        """Return a hash of the teacher and the order."""
        return hash_repr([self.members[0].fingerprint(), self._order.tolist()])


def reorder_classes(teacher: Teacher, names: tuple[str, ...]) -> Teacher:
    """Return a teacher with its classes in this order; the teacher itself if it has this order or no names.

    If one side has the names 0, 1, 2, ... and shares none with the other, they are numbers, and nothing is reordered.

    Raises:
        MismatchError: when both have the same number of classes, and some names differ.
    """
    if (ordered := teacher.reorder_members(names)) is not None:
        return ordered
    theirs = teacher.classes
    # `query` compares the numbers of classes, with the targets at hand
    if theirs is None or theirs == names or len(theirs) != len(names):
        return teacher
    if sorted(theirs) == sorted(names) and len(set(names)) == len(names):  # a name that is there twice has no place
        return Reordered(teacher, names)
    # data without names number their classes, and such a teacher suits data with names of the same classes
    numbers = tuple(map(str, range(len(names))))
    if numbers in (theirs, names) and not set(theirs) & set(names):
        who, named = ("teacher", names) if theirs == numbers else ("data", theirs)
        say(f"instar: the classes of the {who} are numbers, and are taken to be {join_names(named)} in order.")
        return teacher
    own = next((name for name in theirs if name not in names), theirs[0])
    other = next((name for name in names if name not in theirs), names[0])
    raise MismatchError(
        f"the teacher and the data have other classes: the teacher alone has '{own}', the data alone have '{other}'; "
        "give data with the teacher's classes, or another teacher. The teacher has "
        f"{join_names(theirs)}; the data have {join_names(names)}."
    )
