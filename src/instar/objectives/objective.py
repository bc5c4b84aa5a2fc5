"""Weighted sums of terms. The objective owns the weights, the masks and the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real

import torch
from torch import Tensor

from instar.data import UNLABELLED, Batch
from instar.errors import ConfigError, MismatchError
from instar.objectives.term import Need, Term
from instar.targets import Targets


@dataclass(frozen=True)
class Objective:
    """L = (1/N) sum_n sum_t w_t l_t(n) over N examples: samples, or valid positions of samples.

    Calling it gives sums over examples; whoever holds the whole batch divides by its N, so the loss does not depend on
    how a batch is split. An example without a label contributes 0 to the terms that need one, and still counts in N.

    Args:
        parts: pairs of a weight, at least 0, and a term.

    Raises:
        ConfigError: when a weight is negative or not finite, all are 0, or two terms have one name.

    >>> from instar.objectives import HardLabels, SoftTargets
    >>> SoftTargets(4) + 0.1 * HardLabels()
    SoftTargets(temperature=4) + 0.1 * HardLabels(label_smoothing=0.0)
    >>> -1 * HardLabels()
    Traceback (most recent call last):
    instar.errors.ConfigError: the weight of HardLabels must be at least 0, got -1.
    """

    parts: tuple[tuple[float, Term], ...]

    def __post_init__(self) -> None:
        for weight, term in self.parts:
            if not isinstance(weight, Real) or not weight >= 0 or not math.isfinite(weight):
                raise ConfigError(f"the weight of {type(term).__name__} must be at least 0, got {weight!r}.")
        if sum(weight for weight, _ in self.parts) == 0:
            raise ConfigError(f"at least one weight of the objective must be above 0, got '{self}'.")
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

    def check(self, *, has_teacher: bool, has_labels: bool) -> None:
        """Refuse, before the first step, to start without what the terms need.

        Raises:
            MismatchError: names the term and what it misses.
        """
        given = {Need.TEACHER: has_teacher, Need.LABELS: has_labels}
        for _, term in self.parts:
            for need in term.needs:
                if not given[need]:
                    raise MismatchError(f"{type(term).__name__} needs {need.value}, and the run has none.")
        if has_teacher and Need.TEACHER not in self.needs:
            raise MismatchError(
                f"a teacher was given, and no term of the objective '{self}' listens to it; add SoftTargets."
            )

    def __call__(self, logits: Tensor, batch: Batch, targets: Targets | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum over examples of the weighted terms, and the sum of every part by name, detached.

        Args:
            logits: of the student, `[batch, classes]` or `[batch, position, classes]`.
            batch: its labels and mask are used.
            targets: what the teacher says about the batch, where a term needs it.
        """
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if batch.mask is not None:
            # an invalid position may hold anything, and NaN * 0 is NaN in a gradient too
            logits = torch.where(batch.mask[..., None], logits, 0.0)
            batch = replace(batch, labels=torch.where(batch.mask, batch.labels, UNLABELLED))
        total = logits.new_zeros(())
        sums: dict[str, Tensor] = {}
        for weight, term in self.parts:
            value = term(logits, batch.labels, targets)
            loss = _masked_sum(value.loss, batch.mask)
            total = total + weight * loss
            sums[term.name] = loss.detach()
            for name, values in value.beside.items():
                sums[name] = _masked_sum(values.detach(), batch.mask)
        return total, {"loss": total.detach()} | sums


def _masked_sum(values: Tensor, mask: Tensor | None) -> Tensor:
    # where, not a product: an invalid position may hold anything, and 0 * inf is NaN
    return (values if mask is None else torch.where(mask, values, 0.0)).sum()
