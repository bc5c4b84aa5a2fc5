"""Several teachers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from instar.compute.execution import Execution
from instar.content import hash_repr
from instar.data.batch import Batch
from instar.errors import ConfigError, MismatchError
from instar.targets.targets import DenseTargets, MixtureTargets, Targets
from instar.teachers.conversion import as_teacher
from instar.teachers.reordered import reorder_classes
from instar.teachers.teacher import Teacher

Combination = Literal["geometric", "arithmetic"]


class Ensemble(Teacher):
    """The weighted mean of teachers, of their logits or of their probabilities.

    geometric: p^T = softmax(sum_k w_k v_k / T), the normalised geometric mean of the softened distributions; the mean
    of the logits, as the "Dark knowledge" slides have it. arithmetic: p^T = sum_k w_k softmax(v_k / T), the mean of the
    distributions at the temperature used. Both are named by Hinton et al. 2015, section 1.

    Args:
        members: teachers, torch modules, run folders or fitted scikit-learn classifiers.
        combine: "geometric" or "arithmetic"; of numbers, both are the mean.
        weights: one per member, at least 0; scaled to sum to 1. None weighs all equally. A member with weight 0 is not
            queried.
        trust: allow run folders whose model is a class outside `instar.models`.

    Raises:
        ConfigError: when there are no members, or weights are negative, all 0, or not one per member.
        MismatchError: when the classes of members have other names.

    >>> Ensemble([torch.nn.Linear(2, 2)], weights=[-1.0])
    Traceback (most recent call last):
    instar.errors.ConfigError: Ensemble(weights) must be at least 0 with a sum above 0, got [-1.0].
    """

    def __init__(
        self,
        members: Sequence[Any],
        combine: Combination = "geometric",
        weights: Sequence[float] | None = None,
        *,
        trust: bool = False,
    ) -> None:
        weights = list(weights) if weights is not None else [1.0] * len(members)
        if not members:
            raise ConfigError("Ensemble(members) must hold at least one teacher, got none.")
        if combine not in ("geometric", "arithmetic"):
            raise ConfigError(f"Ensemble(combine) must be 'geometric' or 'arithmetic', got {combine!r}.")
        if len(weights) != len(members):
            raise ConfigError(f"Ensemble(weights) must be one per member ({len(members)}), got {len(weights)}.")
        if not all(weight >= 0 for weight in weights) or not 0 < sum(weights) < float("inf"):
            raise ConfigError(f"Ensemble(weights) must be at least 0 with a sum above 0, got {weights}.")
        self._given = made = [as_teacher(member, trust=trust) for member in members]
        # all members in the class order of the first that has names: a mean of other orders would look like one
        self.classes = next((member.classes for member in made if member.classes), None)
        self.members = [reorder_classes(member, self.classes) if self.classes else member for member in made]
        self.combine: Combination = combine
        self.weights = [weight / sum(weights) for weight in weights]
        # a weight of 0 costs no query, and 0 times a logit of -inf would be NaN
        self._queried = [(member, weight) for member, weight in zip(self.members, self.weights, strict=True) if weight]
        self._log_weights = torch.tensor([weight for _, weight in self._queried]).log()
        self.answers_by_row = all(member.answers_by_row for member in self.members)

    without_layers = "has those of several networks; give the one that the student follows as the teacher"

    def targets(self, batch: Batch) -> Targets:
        """Return the mean of the members' targets.

        Raises:
            MismatchError: when members differ in their classes.
        """
        parts = [member.targets(batch) for member, _ in self._queried]
        sizes = [part.num_classes for part in parts]
        if len(set(sizes)) > 1:
            raise MismatchError(f"the members of an ensemble must have the same classes; they have {sizes}.")
        # one output is a number and no class, which has no probability, so that both means are that of the numbers
        if self.combine == "arithmetic" and sizes[0] > 1:
            # averaged when a term reads it, because softmax(v / T) of each member depends on the term's T
            return MixtureTargets(tuple(parts), self._log_weights)
        first, *rest = (weight * part.logits() for (_, weight), part in zip(self._queried, parts, strict=True))
        # at any T: softmax(sum_k w_k v_k / T) is the geometric mean of the softmax(v_k / T)
        return DenseTargets(sum(rest, start=first))

    def reorder_members(self, names: tuple[str, ...]) -> Ensemble | None:
        """Return the ensemble with each member reordered by itself, if some name their classes and others number them.

        The numbers are those of the classes of the data, and not of another member.
        """
        numbers = tuple(map(str, range(len(names))))
        named = [member for member in self._given if member.classes not in (None, numbers)]
        is_mixed = len(named) < len(self._given) and any(member.classes != names for member in named)
        if not is_mixed and all(member.reorder_members(names) is None for member in self._given):
            return None
        return Ensemble([reorder_classes(one, names) for one in self._given], self.combine, self.weights)

    def fingerprint(self) -> str:
        """Return a hash of the members, their weights and how they are combined."""
        return hash_repr([self.combine, self.weights, [member.fingerprint() for member in self.members]])

    def prepare(self, execution: Execution) -> None:
        """Prepare all members."""
        self._log_weights = self._log_weights.to(execution.device)  # once, and not in every step
        super().prepare(execution)

    def settings(self) -> dict[str, Any]:
        """Return the settings that the members need.

        Raises:
            MismatchError: when stores among them hold different views.
        """
        found: dict[str, Any] = {}
        for member in self.members:  # networks need none, so they go with stores of any views
            theirs = member.settings()
            if found and theirs and found != theirs:
                raise MismatchError(f"the stores of an ensemble must hold the same views; they hold {found}, {theirs}.")
            found = found or theirs
        return found
