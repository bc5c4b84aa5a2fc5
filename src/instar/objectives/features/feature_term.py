"""The interface of terms that compare hidden layers, and how such a term names them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from torch import Tensor, nn

from instar.compute.inputs import Shape
from instar.data.batch import Batch
from instar.data.samples import Samples
from instar.errors import ConfigError, MismatchError, shortened
from instar.models.named_layers import LayerNames
from instar.objectives.features.adapters import Adapters, PairAdapters
from instar.objectives.features.pairing import STAGES, pair_layers
from instar.objectives.objective import Term
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets


@dataclass(frozen=True)
class FeatureTerm(Term):
    """A term that compares layers of the student with layers of the teacher, which is queried at each step.

    A term of one layer at a time implements `compare`; one that relates several layers, or reads the batch, overrides
    `compare_all`. What it reads of the batch beside ids is in its `needs`: labels, or the mask of padding.

    Args:
        pairs: the teacher's layer for each layer of the student, such as `{"stage2": "stage3"}`. Both are dotted names
            of modules or names of an `Architecture`, or patterns such as `"blocks.*"`, which must match equally many
            layers. "stages" pairs the stages of two networks that have the same stages.

    Raises:
        ConfigError: when pairs are neither.
    """

    pairs: str | Mapping[str, str] = STAGES

    spans_processes: ClassVar[bool] = False
    """Whether a term that relates examples relates those of all processes that share a batch."""

    @property
    def outputs(self) -> Literal["classes", "numbers", "both"]:
        """Both, because hidden layers do not tell what labels are; a term that reads labels reads classes."""
        return "classes" if Need.LABELS in self.needs else "both"

    @property
    def needs(self) -> frozenset[Need]:
        """A teacher, for most terms; a term that reads more of the batch says so in a class attribute."""
        return frozenset({Need.TEACHER})

    def __post_init__(self) -> None:
        name, pairs = type(self).__name__, self.pairs
        if isinstance(pairs, str):
            is_right = pairs == STAGES
        else:
            is_right = isinstance(pairs, Mapping) and bool(pairs)
            is_right = is_right and all(isinstance(one, str) for pair in pairs.items() for one in pair)
        if not is_right:
            raise ConfigError(
                f"{name}(pairs) must be '{STAGES}' or layers of the student with those of the teacher, such as "
                f"{{'stage2': 'stage3'}}, got {pairs!r}."
            )

    @property
    def layers(self) -> Mapping[str, str]:
        """The pairs by name; empty until `resolve` has found stages."""
        return {} if isinstance(self.pairs, str) else self.pairs

    def resolve(self, student: LayerNames, teacher: LayerNames) -> Self:
        """Return the term with each pair by name.

        Raises:
            MismatchError: when a layer is missing, patterns match other numbers of layers, or the networks have no
                stages or others.
        """
        return replace(self, pairs=pair_layers(type(self).__name__, self.pairs, student, teacher))

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Refuse to compare logits."""
        raise ConfigError(f"{type(self).__name__} compares hidden layers, and no logits.")

    def of_layers(
        self,
        student: Mapping[str, Tensor],
        teacher: Mapping[str, Tensor],
        batch: Batch,
        adapters: Adapters | None = None,
    ) -> Tensor:
        """Return the loss of each example, `[batch]`; of a term that compares positions, in the shape of the labels.

        Args:
            student: outputs of layers of the student by name, float32 or float64 `[batch, ...]`; it may be empty.
            teacher: outputs of layers of the teacher by name, in the same dtype.
            batch: the samples, of which a term reads what its `needs` say.
            adapters: what the term owns, if it owns anything.
        """
        if not self.layers:
            raise ConfigError(
                f"the pairs '{self.pairs}' of {type(self).__name__} are not resolved; call resolve first."
            )
        own: Sequence[Any] = [student[name] for name in self.layers]
        theirs: Sequence[Any] = [teacher[name] for name in self.layers.values()]
        if adapters is not None:
            try:
                own, theirs = adapters(own, theirs, batch)
            except RuntimeError:
                self._refuse_changed_shapes(own, theirs, adapters)
                raise
        return self.compare_all(own, theirs, batch)

    def _refuse_changed_shapes(self, student: Sequence[Tensor], teacher: Sequence[Tensor], adapters: Adapters) -> None:
        sides = (("student", self.layers, student), ("teacher", self.layers.values(), teacher))
        for (side, names, layers), shapes in zip(sides, adapters.made_for, strict=False):
            for name, layer, shape in zip(names, layers, shapes, strict=True):
                if tuple(layer.shape[1:]) != shape:
                    raise MismatchError(
                        f"{type(self).__name__} owns layers for the shape {list(shape)} of the {side}'s layer "
                        f"'{name}', which returns {list(layer.shape[1:])} in this batch; choose a layer of one shape."
                    ) from None

    def compare_all(self, student: Sequence[Any], teacher: Sequence[Any], batch: Batch) -> Tensor:
        """Return the loss of each example, `[batch]`: the sum over pairs of layers.

        Args:
            student: outputs of the student's layers in the order of the pairs, or what `make_adapters` makes of them.
            teacher: those of the teacher's layers.
            batch: the samples.
        """
        losses = []
        for own, theirs, (name, other) in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(name, other):
                losses.append(self.compare(own, theirs))
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss
        return total

    def compares_positions(self, batch: Batch) -> bool:
        """Return whether the term goes with networks that read the same tokens of these samples alone."""
        return False

    def make_adapters(self, student: Sequence[Shape], teacher: Sequence[Shape], samples: Samples) -> Adapters | None:
        """Return what the term owns for all of its pairs: one adapter for each pair that has one; None for most terms.

        It is trained with the student, and is in the checkpoint with its buffers, but is never a part of the student.

        Args:
            student: shapes of the student's layers for one sample, in the order of the pairs.
            teacher: those of the teacher's layers.
            samples: the training set.

        Raises:
            MismatchError: when no such layers exist for these shapes or samples.
        """
        found = []
        for own, theirs, names in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(*names):
                found.append(self.make_adapter(own, theirs))
        return PairAdapters(found) if any(one is not None for one in found) else None

    def make_adapter(self, student: Shape, teacher: Shape) -> nn.Module | None:
        """Return a layer whose output for the student's `compare` gets, such as one of the teacher's shape; or None.

        Args:
            student: shape of the student's layer for one sample.
            teacher: that of the teacher's.

        Raises:
            MismatchError: when no such layer exists.
        """
        return None

    @contextmanager
    def naming(self, own: str, theirs: str) -> Iterator[None]:
        """Add the names of two layers to a sentence about their shapes."""
        try:
            yield
        except MismatchError as error:
            raise MismatchError(
                f"{type(self).__name__} cannot compare '{own}' with the teacher's '{theirs}': {shortened(error, 600)}."
            ) from None

    @abstractmethod
    def compare(self, student: Any, teacher: Any) -> Tensor:
        """Return the loss of each example, `[batch]`, for a pair of layers.

        Args:
            student: output of the student's layer, float32 or float64 `[batch, ...]`, or what its adapter returns; the
                batch may be empty.
            teacher: output of the teacher's layer, in the same dtype.

        Raises:
            MismatchError: when their shapes cannot be compared.
        """


def refuse_other_shapes(student: Tensor, teacher: Tensor) -> None:
    """Refuse layers whose outputs have other shapes.

    Raises:
        MismatchError: names both shapes.
    """
    if student.shape[1:] != teacher.shape[1:]:
        raise MismatchError(
            f"their shapes are {list(student.shape[1:])} and {list(teacher.shape[1:])}; pair layers of one shape"
        )
