"""A student that starts from layers of its teacher: whether it can, and what it takes beside their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from instar.config import START_FROM_TEACHER, RunConfig
from instar.errors import MismatchError
from instar.models.normalised import MeanAndStd, Normalised, reader_in, unwrap
from instar.models.readers.reader import Reader
from instar.models.readers.text_reader import TextReader
from instar.models.teacher_layers import LayerMap, copy_layers
from instar.models.transformers_classifier import TransformersClassifier
from instar.stages.compatibility import only_network
from instar.teachers.reordered import Reordered
from instar.teachers.teacher import Teacher


@dataclass(frozen=True, eq=False)
class TeacherStart:
    """The network that a student takes its initial weights from.

    Args:
        network: network of the teacher.
        layers: the student's layers with those of the teacher, as in `copy_layers`.
        columns: column of the network's logits for each class of the data; None: the classes have its order.
    """

    network: nn.Module
    layers: LayerMap
    columns: Sequence[int] | None

    @classmethod
    def of(cls, config: RunConfig, teacher: Teacher | None) -> TeacherStart | None:
        """Return the start of a run; None where a student starts from other weights than those of its teacher.

        Raises:
            MismatchError: when the teacher is not one network.
        """
        if config.start != START_FROM_TEACHER:
            return None
        network = only_network(teacher, f"start '{START_FROM_TEACHER}'")
        return cls(network, config.start_layers, teacher.columns if isinstance(teacher, Reordered) else None)

    def teach_reader(self, reader: Reader) -> Reader:
        """Return a reader that knows what the teacher's has learnt, such as its vocabulary, because weights fit it.

        Raises:
            MismatchError: when one of the two reads texts, and they number them differently.
        """
        theirs = reader_in(self.network)
        if type(theirs) is not type(reader):
            if isinstance(theirs, TextReader) or isinstance(reader, TextReader):
                raise MismatchError(
                    f"the student cannot start from its teacher, which reads texts by {theirs}, and the student by "
                    f"{reader}; give both the same reader."
                )
            return reader
        learnt = theirs.knowledge()
        return reader if learnt is None else reader.with_knowledge(learnt)

    def statistics(self) -> tuple[MeanAndStd | None, dict[str, MeanAndStd]]:
        """Return mean and standard deviation of the teacher's inputs, which its weights expect."""
        if not isinstance(self.network, Normalised):
            return None, {}
        return (self.network.mean.cpu(), self.network.std.cpu()), self.network.mean_and_std()

    def copy_into(self, model: Normalised, num_classes: int) -> tuple[str, ...]:
        """Copy the weights, and return the student's layers that have no counterpart.

        Raises:
            MismatchError: when the last layers have their classes in another order, or `copy_layers` refuses.
        """
        own, theirs = unwrap(model), unwrap(self.network)
        inner, wanted = _columns_in(theirs, num_classes), _columns_in(own, num_classes)
        if [inner[column] for column in self.columns or range(num_classes)] != wanted:
            raise MismatchError(
                "the student cannot start from its teacher, whose last layer has the classes in another order; give "
                "data.classes in the teacher's order, or a student of Transformers the id2label of its teacher."
            )
        return tuple(copy_layers(own, theirs, self.layers))


def _columns_in(network: nn.Module, count: int) -> list[int]:
    # a classifier of Transformers has the classes of its configuration, and returns the order of the data
    return network.columns if isinstance(network, TransformersClassifier) else list(range(count))
