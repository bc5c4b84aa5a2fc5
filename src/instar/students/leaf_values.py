"""The best constant logits of groups of examples, such as leaves, from sums of their targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.objectives.aims import Aim, Aiming
from instar.objectives.numbers.number_term import NumberTerm
from instar.objectives.numbers.squared_error import SquaredError
from instar.objectives.objective import Objective
from instar.objectives.schedules import number_of
from instar.students.examples import Examples, Part
from instar.students.leaf_numbers import Distances, bisect
from instar.trees.cost_complexity import add_up

Floats = NDArray[np.float64]

MIN_PROBABILITY = 1e-9
"""Smallest probability of a class that no target of a group has."""

TINY = np.finfo(np.float64).tiny
NEWTON_STEPS = 30
MAX_NEWTON_NUMBERS = 1 << 24
"""Numbers of the Hessians that are solved together."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of a term over groups of examples, with its weight: all that its loss for constant logits depends on.

    Args:
        temperature: T of soft targets; None: the targets are logits or numbers.
        targets: sum of w t, `[groups, classes]`.
        weights: sum of w, `[groups]`.
        squares: sum of w |t|^2, `[groups]`.
        are_numbers: whether the targets are numbers, which have no constant that changes nothing.
    """

    temperature: float | None
    targets: Floats
    weights: Floats
    squares: Floats
    are_numbers: bool = False

    def within(self, groups: NDArray[np.integer], number: int) -> Sums:
        """Return the sums over larger groups: `groups` has the new group of each old one."""

        def add(values: Floats) -> Floats:
            found = np.zeros((number, *values.shape[1:]))
            np.add.at(found, groups, values)
            return found

        return replace(self, targets=add(self.targets), weights=add(self.weights), squares=add(self.squares))

    def at(self, groups: slice | NDArray[np.integer]) -> Sums:
        """Return the sums of some groups."""
        return replace(self, targets=self.targets[groups], weights=self.weights[groups], squares=self.squares[groups])

    def times(self, factors: Floats) -> Sums:
        """Return the sums with each group counted `factors` times."""
        products = {name: getattr(self, name) * factors for name in ("weights", "squares")}
        return replace(self, targets=self.targets * factors[:, None], **products)

    def above(self, left: NDArray[np.int32], right: NDArray[np.int32]) -> Sums:
        """Return the sums of all nodes of a tree, of sums whose groups are its leaves; children come after parents."""
        targets, weights, squares = (add_up(one, left, right) for one in (self.targets, self.weights, self.squares))
        return replace(self, targets=targets, weights=weights, squares=squares)

    @property
    def strengths(self) -> Floats:
        """Sum of w / T^2, which the curvature of the loss is proportional to, `[groups]`."""
        found: Floats = self.weights / (self.temperature or 1.0) ** 2
        return found

    def losses(self, logits: Floats) -> Floats:
        """Return the sum of the losses of each group at its logits, `[groups]`."""
        if self.temperature is None:
            centred = self._centred(logits)
            distance = self.weights * (centred**2).sum(1) - 2 * (centred * self.targets).sum(1) + self.squares
            found: Floats = distance / (2 * logits.shape[1])
            return found
        found = (self.targets * log_softmax(logits / self.temperature)).sum(1)
        return -found

    def gradient(self, logits: Floats) -> Floats:
        """Return the gradient of `losses`, `[groups, classes]`."""
        if self.temperature is None:
            centred = self._centred(logits)
            found: Floats = (self.weights[:, None] * centred - self.targets) / logits.shape[1]
            return found
        q = np.exp(log_softmax(logits / self.temperature))
        return (self.weights[:, None] * q - self.targets) / self.temperature

    def pull(self, logits: Floats) -> Floats:
        """Return the gradient: what splits are grown on."""
        return self.gradient(logits)

    def ends(self) -> tuple[Floats, Floats]:
        """Return numbers between which the best one is."""
        return self.minimum(), self.minimum()

    def minimum(self) -> Floats:
        """Return the logits with the least loss of each group, `[groups, classes]`."""
        found: Floats = self.targets / np.maximum(self.weights, TINY)[:, None]
        if self.temperature is not None:
            found = self.temperature * np.log(np.maximum(found, MIN_PROBABILITY))
        return self._centred(found)

    def _centred(self, logits: Floats) -> Floats:
        return logits if self.are_numbers else centre(logits)

    def curvature(self, logits: Floats) -> Floats:
        """Return the Hessian of `losses`, `[groups, classes, classes]`."""
        eye = np.eye(logits.shape[1])
        if self.temperature is None:
            each = (eye - 1 / len(eye)) / len(eye)
        else:
            q = np.exp(log_softmax(logits / self.temperature))
            each = q[:, :, None] * eye - q[:, :, None] * q[:, None, :]
        found: Floats = self.strengths[:, None, None] * each
        return found


Groups = Sums | Distances
"""A term of groups of examples: sums of its targets, or the numbers themselves where these do not tell its loss."""


def refuse_without_aim(objective: Objective, noun: str) -> None:
    """Refuse an objective with a term that is no aim.

    Raises:
        MismatchError: names the term, and those that are aims.
    """
    for weight, term in objective.parts:
        if not isinstance(term, Aiming):
            raise MismatchError(
                f"{noun} cannot minimise {type(term).__name__}, because its leaves are means of targets; choose a "
                "weighted sum of HardLabels, SoftTargets and LogitMatching, for numbers of SquaredError, Huber and "
                "Quantile, or the model 'boosting', which follows gradients of any term of logits."
            )
        if not isinstance(weight, int | float):
            raise MismatchError(
                f"{noun} is fitted once, and the weight '{weight}' changes over a training; give a number."
            )


def refuse_other_than_squares(objective: Objective, why: str, instead: str) -> None:
    """Refuse a term of numbers whose best constant is no mean, such as that of a quantile.

    Args:
        objective: objective of the run.
        why: why the student needs means.
        instead: the model that takes the term.

    Raises:
        MismatchError: names the term.
    """
    for weight, term in objective.parts:
        if number_of(weight) and isinstance(term, NumberTerm) and not isinstance(term, SquaredError):
            raise MismatchError(
                f"{why}, so {type(term).__name__} would not be minimised; give SquaredError, or the model '{instead}', "
                "which minimises it."
            )


def gather_sums(objective: Objective, examples: Examples) -> list[Groups]:
    """Return the sums of each term with a weight above 0, with each example as a group."""
    totals = examples.totals(objective)
    found: list[Groups] = []
    for index, (weight, term) in enumerate(objective.parts):
        assert isinstance(term, Aiming), "refuse_without_aim has seen it"
        if number_of(weight) == 0:
            continue
        pieces = [_aim_at(term, part, examples.classes) for part in examples.parts]
        aims = torch.cat([piece.targets for piece in pieces])
        own = number_of(weight) * torch.cat([piece.weights for piece in pieces if piece.weights is not None])
        if term.weighs_examples and totals is not None:  # as the objective divides them by their mean
            whole, positive = totals[index].cpu().double()
            own = own * positive / whole.clamp(min=TINY)
        first = pieces[0]
        if first.of_distances is not None:
            each = np.arange(len(aims))
            found.append(Distances(first.of_distances, aims[:, 0].numpy(), own.numpy(), each, len(each)))
            continue
        targets, squares = aims * own[:, None], aims.square().sum(1) * own
        sums = Sums(first.temperature, targets.numpy(), own.numpy(), squares.numpy(), first.are_numbers)
        found.append(sums)
    return found


def _aim_at(term: Any, part: Part, classes: int) -> Aim:
    """Return the aim of a term, in float64 on the CPU, its weights times those that the objective applies."""
    aim: Aim = term.aim(part.batch, part.targets, classes)
    own = torch.ones(len(part.batch), dtype=torch.float64) if aim.weights is None else aim.weights.cpu().double()
    if (weights := term.weights(part.batch, part.targets)) is not None:
        own = own * weights.cpu().double()
    if part.samples is not None:
        own = own * part.samples
    return replace(aim, targets=aim.targets.cpu().double(), weights=own)


def smooth(sums: Sequence[Groups], whole: Sequence[Groups], samples: float, count: float) -> list[Groups]:
    """Return sums in which each group has more samples, whose soft targets are the mean of all.

    So a leaf of few samples is less sure than they are, and no class has the probability 0. Logits and numbers need
    none of this.

    Args:
        sums: sums of groups.
        whole: sums of all examples, one group.
        samples: number of samples to add.
        count: number of all examples, each as many times as its sample counts.
    """
    share = samples / count
    return [
        replace(own, targets=own.targets + share * root.targets, weights=own.weights + share * root.weights)
        if isinstance(own, Sums) and isinstance(root, Sums) and own.temperature is not None
        else own
        for own, root in zip(sums, whole, strict=True)
    ]


def centre(logits: Floats) -> Floats:
    """Return logits with the mean 0 over classes, `[groups, classes]`."""
    found: Floats = logits - logits.mean(1, keepdims=True)
    return found


def add(values: Iterable[Floats]) -> Floats:
    """Return the sum of arrays."""
    first, *others = values
    total: Floats = sum(others, start=first)
    return total


def solve(groups: Sequence[Groups]) -> Floats:
    """Return the logits with the least sum of losses of each group, `[groups, classes]`, with the mean 0.

    One term, and several of one temperature, have a formula. For others it is Newton's method with step halving; the
    loss is convex. For numbers, `[groups, 1]`, it is their mean, or bisection.
    """
    sums = [one for one in groups if isinstance(one, Sums)]
    if len(sums) < len(groups):
        return bisect(groups)
    if len({one.temperature for one in sums}) == 1:
        first = sums[0]
        joined = replace(first, targets=add(s.targets for s in sums), weights=add(s.weights for s in sums))
        return joined.minimum()
    weights = np.stack([one.strengths for one in sums])  # [terms, groups]
    shares = weights / np.maximum(weights.sum(0), TINY)
    start = add(share[:, None] * one.minimum() for share, one in zip(shares, sums, strict=True))
    size = max(1, MAX_NEWTON_NUMBERS // start.shape[1] ** 2)
    pieces = [slice(at, at + size) for at in range(0, len(start), size)]
    return np.concatenate([_descend([one.at(piece) for one in sums], start[piece]) for piece in pieces])


def _descend(sums: Sequence[Sums], logits: Floats) -> Floats:
    classes = logits.shape[1]
    scale = add(one.strengths for one in sums)[:, None, None] / classes
    # a constant of all logits changes no loss, so the Hessian is singular along it
    flat = scale * np.full((classes, classes), 1 / classes) + np.maximum(scale, 1) * 1e-9 * np.eye(classes)
    for _ in range(NEWTON_STEPS):
        gradient = add(one.gradient(logits) for one in sums)
        hessian = add(one.curvature(logits) for one in sums) + flat
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        before = add(one.losses(logits) for one in sums)
        rate = np.ones(len(logits))
        for _ in range(NEWTON_STEPS):
            worse = add(one.losses(logits - rate[:, None] * step) for one in sums) > before
            if not worse.any():
                break
            rate[worse] /= 2
        rate[worse] = 0  # as good as rounding allows
        logits = logits - rate[:, None] * step
        if np.abs(rate[:, None] * step).max() < 1e-9:
            break
    return centre(logits)


def log_softmax(logits: Floats) -> Floats:
    """Return log softmax(z), `[groups, classes]`."""
    shifted = logits - logits.max(1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return found
