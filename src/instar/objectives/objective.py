"""Terms of a loss, and their weighted sum, which owns the weights, the masks and the mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.checks import Weight, find_check, validate_value
from instar.compute.precision import to_loss_dtype
from instar.compute.projected import Projected
from instar.compute.tiling import exceeds_loss_tile
from instar.data.loader import Batch
from instar.errors import ConfigError, MismatchError
from instar.objectives.tiles import loss_in_tiles, tiles
from instar.targets.targets import Targets


class Need(Enum):
    """What a term may need."""

    LABELS = "labels"
    TEACHER = "a teacher"


@dataclass(frozen=True, eq=False)
class Value:
    """What a term found.

    Args:
        loss: what is minimised, one number per example, `[batch]` or `[batch, position]`.
        beside: numbers of the same shape that are recorded beside it and not minimised.
    """

    loss: Tensor
    beside: dict[str, Tensor] = field(default_factory=dict)


class Term(ABC):
    """One term of an objective. Terms add up: `SoftTargets(4) + 0.1 * HardLabels()`."""

    temperature: float = 1.0
    """Temperature of the targets that the term reads; a term with another one has a field of this name."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[Need]:
        """What must be there before the first step; most terms set it as an attribute of the class."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which the term is recorded; most terms set it as an attribute of the class."""

    @property
    def weighs_examples(self) -> bool:
        """Whether `weights` returns weights; a term that has some sets it to True as an attribute of the class."""
        return False

    @abstractmethod
    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> Value:
        """Return one number per example.

        Args:
            logits: of the student, float32 `[..., classes]`.
            batch: the examples, of which there may be none; its labels are `[...]`, `UNLABELLED` where there is none.
            targets: of the teacher; none when no term needs one.
        """

    def weights(self, batch: Batch, targets: Targets | None) -> Tensor | None:
        """Return how much each example counts, at least 0, `[...]`; none: all alike.

        The objective divides them by their mean over the whole batch, so they say how examples share the loss and not
        how large it is. Examples with weight 0 are left out of that mean.
        """
        return None

    def __add__(self, other: Term | Objective) -> Objective:
        return 1.0 * self + other

    def __rmul__(self, weight: float) -> Objective:
        return Objective(((weight, self),))


@dataclass(frozen=True)
class Objective:
    """L = (1/N) sum_n sum_t w_t l_t(n) over N examples: samples, or valid positions of samples.

    Calling it gives sums over examples; whoever holds the whole batch divides by its N, so the loss does not depend on
    how a batch is split. An example without a label contributes 0 to the terms that need one, and still counts in N.
    Where a term weighs examples by v_n, l_t(n) is multiplied by v_n / mean(v), the mean being over the whole batch:
    `totals` of its parts, added up, are handed to each of them.

    Losses of many classes are found in tiles of examples, so that what is needed beside the logits is a tile, and one
    gradient; of a network that returns `Projected`, a tile and the gradient of its last layer.

    Args:
        parts: pairs of a weight, at least 0, and a term.

    Raises:
        ConfigError: when there is no term, a weight is negative or not finite, or two terms have one name.

    >>> from instar.objectives import HardLabels, SoftTargets
    >>> SoftTargets(4) + 0.1 * HardLabels()
    SoftTargets(temperature=4) + 0.1 * HardLabels(label_smoothing=0.0)
    >>> -1 * HardLabels()
    Traceback (most recent call last):
    instar.errors.ConfigError: the weight of HardLabels must be at least 0, got -1.
    """

    parts: tuple[tuple[float, Term], ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("an objective must have at least one term, got none.")
        for weight, term in self.parts:
            validate_value(find_check(Weight), weight, f"the weight of {type(term).__name__}")
        names = [term.name for _, term in self.parts]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"a term may stand once in an objective; '{name}' stands {names.count(name)} times.")

    def __add__(self, other: Term | Objective) -> Objective:
        return Objective(self.parts + (other if isinstance(other, Objective) else 1.0 * other).parts)

    def __rmul__(self, factor: float) -> Objective:
        return Objective(tuple((factor * weight, term) for weight, term in self.parts))

    def __repr__(self) -> str:
        # every digit of a weight, because a run reads its objective from this text
        weights = [repr(float(weight)).removesuffix(".0") for weight, _ in self.parts]
        return " + ".join(
            f"{weight} * {part[1]!r}" if weight != "1" else repr(part[1])
            for weight, part in zip(weights, self.parts, strict=True)
        )

    @property
    def needs(self) -> frozenset[Need]:
        """What the terms need together."""
        return frozenset().union(*(term.needs for _, term in self.parts))

    @property
    def temperatures(self) -> frozenset[float]:
        """Those at which its terms ask the teacher."""
        return frozenset(float(term.temperature) for _, term in self.parts if Need.TEACHER in term.needs)

    def check(self, *, has_teacher: bool, has_labels: bool) -> None:
        """Refuse, before the first step, to start without what the terms need.

        Raises:
            ConfigError: when all weights are 0.
            MismatchError: names the term and what it misses.
        """
        if sum(weight for weight, _ in self.parts) == 0:
            raise ConfigError(f"at least one weight of the objective must be above 0, got '{self}'.")
        given = {Need.TEACHER: has_teacher, Need.LABELS: has_labels}
        for _, term in self.parts:
            for need in term.needs:
                if not given[need]:
                    raise MismatchError(f"{type(term).__name__} needs {need.value}, and the run has none.")
        if has_teacher and Need.TEACHER not in self.needs:
            raise MismatchError(
                f"a teacher was given, and no term of the objective '{self}' listens to it; add SoftTargets."
            )

    @property
    def weighs_examples(self) -> bool:
        """Whether any term weighs examples, so that `totals` of a whole batch are needed before its first part."""
        return any(term.weighs_examples for _, term in self.parts)

    def totals(self, batch: Batch, targets: Targets | None) -> Tensor:
        """Return sum and number of the weights above 0 of every term, `[terms, 2]`, to be added up over parts."""
        found = [
            torch.stack([_totals(term.weights(some, answers), some) for _, term in self.parts])
            for _, some, answers in tiles(batch, targets, targets.num_classes if targets else 1)
        ]
        return torch.stack(found).sum(0)

    def __call__(
        self,
        logits: Tensor | Projected,
        batch: Batch,
        targets: Targets | None,
        totals: Tensor | None = None,
        *,
        keep_logits: bool = True,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum over examples of the weighted terms, and the sum of every part by name, detached.

        Args:
            logits: of the student, `[batch, classes]` or `[batch, position, classes]`; or what would make them.
            batch: its labels and mask are used.
            targets: what the teacher says about the batch, where a term needs it.
            totals: of the whole batch that this is a part of; none: this is all of it.
            keep_logits: false says that nobody needs the logits from now on, and the gradient is asked for once, which
                then may take their memory: for many classes most of what a loss takes.
        """
        if totals is None and self.weighs_examples:
            totals = self.totals(batch, targets)
        if isinstance(logits, Projected) or exceeds_loss_tile(logits):
            return loss_in_tiles(partial(self._sums, totals), logits, batch, targets, once=not keep_logits)
        logits = to_loss_dtype(logits)
        if batch.mask is not None:
            # an invalid position may hold anything, and NaN * 0 is NaN in a gradient too
            logits = torch.where(batch.mask[..., None], logits, 0.0)
            batch = replace(batch, labels=torch.where(batch.mask, batch.labels, UNLABELLED))
        return self._sums(totals, logits, batch, targets)

    def _sums(
        self, totals: Tensor | None, logits: Tensor, batch: Batch, targets: Targets | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what calling it returns, of logits in which nothing is left that is not valid."""
        weighted: list[Tensor] = []
        sums: dict[str, Tensor] = {}
        for index, (weight, term) in enumerate(self.parts):
            value = term(logits, batch, targets)
            weights = term.weights(batch, targets)
            losses = value.loss
            if weights is not None:
                if totals is None or not term.weighs_examples:
                    raise ConfigError(f"{type(term).__name__} returns weights; set its weighs_examples to True.")
                whole, number = totals[index].to(losses)
                losses = losses * weights * (number / whole.clamp(min=torch.finfo(losses.dtype).tiny))
            loss = _masked_sum(losses, batch.mask)
            weighted.append(loss if weight == 1 else weight * loss)
            sums[term.name] = loss.detach()
            for name, values in value.beside.items():
                sums[name] = _masked_sum(values.detach(), batch.mask)
        total = sum(weighted[1:], start=weighted[0])
        return total, {"loss": total.detach()} | sums


def _totals(weights: Tensor | None, batch: Batch) -> Tensor:
    if weights is None:
        return torch.zeros(2, device=batch.labels.device)
    return torch.stack([weights.sum(), (weights > 0).sum().to(weights)])


def _masked_sum(values: Tensor, mask: Tensor | None) -> Tensor:
    # where, not a product: an invalid position may hold anything, and 0 * inf is NaN
    return (values if mask is None else torch.where(mask, values, 0.0)).sum()
