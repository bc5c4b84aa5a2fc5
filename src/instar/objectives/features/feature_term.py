"""The interface of terms that compare hidden layers, and how such a term names them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

from torch import Tensor, nn

from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError, shortened
from instar.models.named_layers import Layers, quote_names
from instar.objectives.objective import Objective, Term
from instar.objectives.values import Need, Value
from instar.targets.targets import Targets

STAGES = "stages"
"""Pairs of the stages of student and teacher that have the same name."""


@dataclass(frozen=True)
class FeatureTerm(Term):
    """A term that compares layers of the student with layers of the teacher, which is queried at each step.

    A term of one layer at a time implements `compare`; one that relates several layers overrides `compare_all`.

    Args:
        pairs: the teacher's layer for each layer of the student, such as `{"stage2": "stage3"}`. Both are dotted names
            of modules or names of an `Architecture`, or patterns such as `"blocks.*"`, which must match equally many
            layers. "stages" pairs the stages of two networks that have the same stages.

    Raises:
        ConfigError: when pairs are neither.
    """

    pairs: str | Mapping[str, str] = STAGES

    needs = frozenset({Need.TEACHER})

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

    def resolve(self, student: Layers, teacher: Layers) -> Self:
        """Return the term with each pair by name.

        Raises:
            MismatchError: when a layer is missing, patterns match other numbers of layers, or the networks have no
                stages or others.
        """
        return replace(self, pairs=pair_layers(type(self).__name__, self.pairs, student, teacher))

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Refuse to compare logits."""
        raise ConfigError(f"{type(self).__name__} compares hidden layers, and no logits.")

    def of_layers(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of each example, `[batch]`, from the outputs of layers by name."""
        if not self.layers:
            raise ConfigError(
                f"the pairs '{self.pairs}' of {type(self).__name__} are not resolved; call resolve first."
            )
        own, theirs = zip(*self.layers.items(), strict=True)
        return self.compare_all([student[name] for name in own], [teacher[name] for name in theirs])

    def compare_all(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return the loss of each example, `[batch]`: the sum over pairs of layers."""
        losses = []
        for own, theirs, (name, other) in zip(student, teacher, self.layers.items(), strict=True):
            with self.naming(name, other):
                losses.append(self.compare(own, theirs))
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss
        return total

    def make_adapter(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module | None:
        """Return a layer that gives an output of the student the shape of the teacher's; None for most terms.

        It is trained with the student, is in the checkpoint, and is never a part of the student. Its output is what
        `compare` gets.

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
    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of each example, `[batch]`, for a pair of layers.

        Args:
            student: output of the student's layer, float32 or float64 `[batch, ...]`; the batch may be empty.
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


def pair_layers(who: str, pairs: str | Mapping[str, str], student: Layers, teacher: Layers) -> dict[str, str]:
    """Return pairs of layers by name; see `FeatureTerm.resolve`.

    Args:
        who: name of the term.
        pairs: pairs of names or patterns, or "stages".
        student: layers of the student.
        teacher: layers of the teacher.
    """
    if isinstance(pairs, str):
        for layers in (student, teacher):
            if not layers.stages:
                raise MismatchError(
                    f"{who}(pairs='{pairs}') needs networks with stages, and {layers.who} has none; pair layers by "
                    "name, such as {'layer2': 'layer2'}; instar layers lists them."
                )
        if student.stages != teacher.stages:
            raise MismatchError(
                f"{who}(pairs='{pairs}') needs the same stages, and the student has {quote_names(student.stages)}, the "
                f"teacher {quote_names(teacher.stages)}; pair them by name, such as "
                f"{{'{student.stages[-1]}': '{teacher.stages[-1]}'}}."
            )
        return {name: name for name in student.stages}
    found: dict[str, str] = {}
    for own, theirs in pairs.items():
        names, others = student.find(own), teacher.find(theirs)
        if len(names) != len(others):
            raise MismatchError(
                f"{who} pairs '{own}' with '{theirs}', which are {len(names)} layers of the student "
                f"({quote_names(names)}) and {len(others)} of the teacher ({quote_names(others)})."
            )
        if twice := [name for name in names if name in found]:
            raise MismatchError(f"{who} pairs the student's layer '{twice[0]}' twice; name it in one pair.")
        found |= dict(zip(names, others, strict=True))
    return found


def resolve_layers(objective: Objective, student: Layers, teacher: Layers) -> Objective:
    """Return an objective whose terms name each layer; see `FeatureTerm.resolve`."""
    parts: list[Any] = [
        (weight, term.resolve(student, teacher) if isinstance(term, FeatureTerm) else term)
        for weight, term in objective.parts
    ]
    return Objective(tuple(parts))
