"""Loss terms, and the objective: their weighted sum, which owns weights, masks and the mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from instar.checks import Weight, find_check, validate_value
from instar.compute.projected import Projected
from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError
from instar.expressions import write
from instar.objectives.schedules import WeightSchedule, number_of, peak_of
from instar.objectives.term_losses import add_layers, sum_logits
from instar.objectives.tiles import tiles
from instar.objectives.unmet import refuse_other_outputs, refuse_unmet
from instar.objectives.values import Hidden, Need, Value, total_weights
from instar.targets.targets import Targets


class Term(ABC):
    """One term of an objective, as in `SoftTargets(4) + 0.1 * HardLabels()`."""

    temperature: float = 1.0
    """Temperature of the targets that the term reads; a term with another one has a field of this name."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[Need]:
        """Whether the term needs labels, a teacher, or both; usually a class attribute."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the term in metrics.jsonl; usually a class attribute."""

    @property
    def weighs_examples(self) -> bool:
        """Whether `weights` returns weights; a term with weights sets the class attribute to True."""
        return False

    @property
    def is_linear_in_labels(self) -> bool:
        """Whether the loss of two labels, lambda and 1 - lambda, is lambda l(first) + (1 - lambda) l(second).

        Views that mix samples need this of every term that reads labels; such a term sets the class attribute to True.
        """
        return False

    @property
    def outputs(self) -> Literal["classes", "numbers", "both"]:
        """What the outputs of the student must be: logits of classes, or numbers; usually a class attribute."""
        return "classes"

    @property
    def relates_examples(self) -> bool:
        """Whether the loss of an example depends on the others of its batch, so that no batch may be split.

        A term that relates examples sets the class attribute to True.
        """
        return False

    @property
    def layers(self) -> Mapping[str, str] | None:
        """Layers of the student that are compared with layers of the teacher; None for a term of logits.

        A term with layers is a `FeatureTerm`, which implements `of_layers` in place of a call.
        """
        return None

    def of_layers(
        self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], batch: Batch, adapters: Any = None
    ) -> Tensor:
        """Return the loss of each example, `[batch]`, from outputs of layers by name; see `FeatureTerm.of_layers`."""
        raise NotImplementedError

    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return the loss of each example.

        Args:
            logits: logits of the student, float32 `[..., classes]`.
            batch: batch with labels `[...]`, `UNLABELLED` for unlabelled examples; it may be empty.
            targets: targets of the teacher; None if no term needs a teacher.
        """

    def weights(self, batch: Batch, targets: Targets | None) -> Tensor | None:
        """Return the weight of each example, at least 0, `[...]`; None means equal weights.

        The objective divides the weights by their mean over the whole batch, without weights of 0. So they distribute
        the loss over examples, and do not change its size.
        """
        return None

    def __add__(self, other: Term | Objective) -> Objective:
        return 1.0 * self + other

    def __rmul__(self, weight: float | WeightSchedule) -> Objective:
        return Objective(((weight, self),))

    def __str__(self) -> str:
        return write(self)


@dataclass(frozen=True)
class Objective:
    """L = (1/N) sum_n sum_t w_t l_t(n) over N examples: samples, or valid positions of samples.

    A call returns sums over examples, and the training loop divides by the N of the whole batch, so the loss does not
    depend on how a batch is split. An unlabelled example adds 0 to the terms that need a label, and still counts in N.
    If a term has weights v_n, l_t(n) is multiplied by v_n / mean(v) with the mean over the whole batch: the loop adds
    the `totals` of all parts, and passes the sum to each part. If a view mixes samples, a term that is linear in the
    labels becomes lambda l_t(n) with the label of the sample, plus (1 - lambda) l_t(n) with that of its partner.

    With many classes, the loss is computed in tiles of examples. Its memory is then a tile and one gradient; for a
    network that returns `Projected`, a tile and the gradient of the output layer.

    Args:
        parts: pairs of a weight, at least 0, and a term. A weight may change over the training, and `at` returns the
            objective of a step.

    Raises:
        ConfigError: when there is no term, a weight is negative or not finite, or two terms have the same name.

    >>> from instar.objectives import HardLabels, SoftTargets
    >>> SoftTargets(4) + 0.1 * HardLabels()
    SoftTargets(temperature=4) + 0.1 * HardLabels(label_smoothing=0.0)
    >>> -1 * HardLabels()
    Traceback (most recent call last):
    instar.errors.ConfigError: the weight of HardLabels must be at least 0, got -1.
    """

    parts: tuple[tuple[float | WeightSchedule, Term], ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("an objective must have at least one term, got none.")
        for weight, term in self.parts:
            validate_value(find_check(Weight), peak_of(weight), f"the weight of {type(term).__name__}")
        # the sums of terms are recorded by name, and a second one would overwrite the first
        names = [term.name for _, term in self.parts]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    f"each term may appear once in an objective; '{name}' appears {names.count(name)} times."
                )

    def __add__(self, other: Term | Objective) -> Objective:
        return Objective(self.parts + (other if isinstance(other, Objective) else 1.0 * other).parts)

    def __rmul__(self, factor: float | WeightSchedule) -> Objective:
        if isinstance(factor, WeightSchedule) and self.is_scheduled:
            raise ConfigError(f"a term has one schedule, got '{factor}' for '{self}'.")
        return Objective(tuple((factor * weight, term) for weight, term in self.parts))  # type: ignore[operator]  # not two

    @cached_property
    def is_scheduled(self) -> bool:
        """Whether any weight changes over the training."""
        return any(isinstance(weight, WeightSchedule) for weight, _ in self.parts)

    def at(self, share: float) -> Objective:
        """Return the objective after a share of all steps, with its weights as numbers."""
        if not self.is_scheduled:
            return self
        weights = (weight.at(share) if isinstance(weight, WeightSchedule) else weight for weight, _ in self.parts)
        return Objective(tuple(zip(weights, (term for _, term in self.parts), strict=True)))

    def at_peak(self) -> Objective:
        """Return the objective with the largest weight of each term, to try it before the first step."""
        return Objective(tuple((peak_of(weight), term) for weight, term in self.parts)) if self.is_scheduled else self

    def __repr__(self) -> str:
        # every digit of a weight, because a run reads its objective from this text
        weights = [
            repr(weight) if isinstance(weight, WeightSchedule) else repr(float(weight)).removesuffix(".0")
            for weight, _ in self.parts
        ]
        return " + ".join(
            f"{weight} * {part[1]}" if weight != "1" else str(part[1])
            for weight, part in zip(weights, self.parts, strict=True)
        )

    @property
    def needs(self) -> frozenset[Need]:
        """Needs of all terms."""
        return frozenset().union(*(term.needs for _, term in self.parts))

    @property
    def temperatures(self) -> frozenset[float]:
        """Temperatures of the teacher's targets that the terms read."""
        reading = [term for _, term in self.parts if Need.TEACHER in term.needs and term.layers is None]
        return frozenset(float(term.temperature) for term in reading)

    @cached_property
    def relates_examples(self) -> bool:
        """Whether the loss of an example depends on the others of its batch."""
        return any(term.relates_examples for _, term in self.parts)

    @cached_property
    def compares_layers(self) -> bool:
        """Whether any term compares hidden layers."""
        return any(term.layers is not None for _, term in self.parts)

    @property
    def student_layers(self) -> tuple[str, ...]:
        """Layers of the student that terms compare, each once."""
        return tuple(dict.fromkeys(name for _, term in self.parts for name in term.layers or ()))

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """Layers of the teacher that terms compare, each once."""
        return tuple(dict.fromkeys(name for _, term in self.parts for name in (term.layers or {}).values()))

    @property
    def on_logits(self) -> Objective | None:
        """The terms that read logits; None if there are none."""
        parts = tuple(part for part in self.parts if part[1].layers is None)
        return Objective(parts) if parts else None

    def check(
        self, *, has_teacher: bool, has_labels: bool, mixes_samples: bool = False, predicts_numbers: bool = False
    ) -> None:
        """Refuse a run that lacks what the terms need, or has labels of another kind, before the first step.

        Raises:
            ConfigError: when all weights are 0.
            MismatchError: when a term lacks labels or a teacher, is not defined for these, or no term uses the teacher;
                names the term.
        """
        if sum(peak_of(weight) for weight, _ in self.parts) == 0:
            # a single weight may be 0: a student that copies layers needs a teacher even if it learns from labels alone
            raise ConfigError(f"at least one weight of the objective must be above 0, got '{self}'.")
        # first, because a term of another kind of labels would not help if it had a teacher
        refuse_other_outputs((term for _, term in self.parts), predicts_numbers=predicts_numbers)
        self.refuse_unmet({Need.TEACHER: has_teacher, Need.LABELS: has_labels})
        for _, term in self.parts:
            if mixes_samples and Need.LABELS in term.needs and not term.is_linear_in_labels:
                raise MismatchError(
                    f"{type(term).__name__} is not defined for a sample with two labels, and a view of the run mixes "
                    "samples; leave the view out, or use HardLabels or SoftTargets."
                )
        if has_teacher and Need.TEACHER not in self.needs:
            added = "SquaredError('teacher')" if predicts_numbers else "SoftTargets"
            raise MismatchError(f"no term of the objective '{self}' uses the teacher; add {added}.")

    def refuse_unmet(self, given: Mapping[Need, bool]) -> None:
        """Refuse a run that lacks what a term needs, as far as `given` tells whether it has it."""
        refuse_unmet((term for _, term in self.parts), given)

    @property
    def weighs_examples(self) -> bool:
        """Whether any term has weights, so that the loss of a part needs the `totals` of the whole batch."""
        return any(term.weighs_examples for _, term in self.parts)

    def totals(self, batch: Batch, targets: Targets | None) -> Tensor:
        """Return sum and number of the positive weights of each term, `[terms, 2]`, to add over parts of a batch."""
        # in tiles, because for many classes the confidence of the teacher is a softmax over all its logits
        found = [
            torch.stack([total_weights(term.weights(tile, tile_targets), tile) for _, term in self.parts])
            for _, tile, tile_targets in tiles(batch, targets, targets.num_classes if targets else 1)
        ]
        return torch.stack(found).sum(0)  # [tiles, terms, 2] to [terms, 2]

    def __call__(
        self,
        logits: Tensor | Projected,
        batch: Batch,
        targets: Targets | None,
        totals: Tensor | None = None,
        *,
        hidden: Hidden | None = None,
        keep_logits: bool = True,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum over examples of the weighted terms, and the detached sum of each term by name.

        Args:
            logits: logits of the student, `[batch, classes]` or `[batch, position, classes]`, or `Projected`.
            batch: batch with labels and mask.
            targets: targets of the teacher, if a term needs them.
            totals: `totals` of the whole batch, if `batch` is a part of it; None: `batch` is the whole batch.
            hidden: outputs of the layers that terms compare, of the same examples.
            keep_logits: False if the logits are not used later and the gradient is computed once; the gradient then
                overwrites them, which saves most of the memory of a loss over many classes.
        """
        if totals is None and self.weighs_examples:
            totals = self.totals(batch, targets)
        parts = [(number_of(weight), term) for weight, term in self.parts]
        found: tuple[Tensor, dict[str, Tensor]] = (torch.zeros((), device=batch.labels.device), {})
        if not self.compares_layers or any(term.layers is None for _, term in parts):
            # a layer may share memory with the logits, so their gradient must not overwrite them
            once = not keep_logits and not self.compares_layers
            found = sum_logits(parts, logits, batch, targets, totals, once=once, in_tiles=not self.relates_examples)
        return add_layers(parts, *found, batch, hidden) if self.compares_layers else found
