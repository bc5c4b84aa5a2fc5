"""Boosting: each tree follows the gradient of the objective at what the trees before it predict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.models.boosting import Boosting
from instar.objectives.objective import Objective
from instar.seeds import derive
from instar.students.derivatives import Derivatives, refuse_without_derivatives
from instar.students.examples import Examples
from instar.students.fitted import FittedStudent
from instar.students.held_out import find_held_out
from instar.students.leaf_values import Floats
from instar.students.newton import MAX_HALVINGS, find_base, find_steps
from instar.students.student import Lesson
from instar.students.tree import Grown, make_regressor
from instar.trees.stacking import Nodes, stack_trees


class BoostingStudent(FittedStudent):
    """Adds trees z <- z + rate * t(x), each fitted to -g by least squares, with g = dL/dz at the z of the last round.

    Leaf l of a tree holds the Newton step t_lc = -(C - 1)/C sum g_nc / (sum h_nc + s h), with sums over its examples n,
    h_nc the diagonal of the curvature, h its mean and s the smoothing. The factor is exact where all off-diagonal
    elements of a curvature that is blind to a constant are equal, as in `LogitMatching` and for two classes, because a
    tree moves all classes at once. A tree that would raise the loss is halved until it does not.

    z begins with the constant logits of the least loss, and the first trees with the least loss on the validation split
    are kept: of the objective, where the teacher knows these samples, and of their labels otherwise.

    Source: Friedman 2001, "Greedy function approximation: a gradient boosting machine"; Friedman, Hastie and Tibshirani
    2000, "Additive logistic regression", for the Newton step and its factor.
    """

    noun = "a booster"

    def refuse_objective(self, objective: Objective) -> None:
        """Refuse terms of hidden layers, and those that relate examples."""
        refuse_without_derivatives(objective, self.noun)

    def fit(self, network: Any, examples: Examples, lesson: Lesson) -> int:
        """Add trees until the validation loss stops falling."""
        assert isinstance(network, Boosting), "the catalogue gives each family its student"
        boosted = Boosted(lesson.objective, examples, find_base(lesson.objective, examples))
        held_out = find_held_out(lesson) if network.patience else None
        watched = None if held_out is None else Watched(*held_out, boosted.base)
        for number in range(network.rounds):
            tree = boosted.add_tree(network, derive(lesson.seed, "boosting", number))
            if tree is None or (watched and watched.add_tree(tree) > network.patience):
                break
        kept = boosted.trees if watched is None else boosted.trees[: watched.best_count]
        leaf = np.full(1, -1)
        nothing = Nodes(leaf, np.zeros(1), leaf, leaf, np.zeros((1, examples.classes)), np.zeros(1, bool))
        spread, base = examples.scale[1], examples.to_unit(boosted.base)
        nodes = [tree.grown.as_nodes(spread * tree.values) for tree in kept] or [nothing]
        network.take(stack_trees(nodes, network.columns, combine="sum", meaning=network.meaning, base=base))
        return max(1, len(kept))


@dataclass(frozen=True, eq=False)
class Step:
    """A tree with what it adds to the logits of each of its leaves, float64 `[nodes, classes]`."""

    grown: Grown
    values: Floats

    def at(self, rows: NDArray[np.float32]) -> Floats:
        """Return what the tree adds to the logits of rows, `[rows, classes]`."""
        found: Floats = self.values[self.grown.estimator.apply(rows)]
        return found


class Boosted:
    """Trees so far, and where the training examples are now.

    Args:
        objective: what is minimised.
        examples: training examples.
        base: constant logits, float64 `[classes]`.
    """

    def __init__(self, objective: Objective, examples: Examples, base: Floats) -> None:
        self.objective, self.examples, self.base = objective, examples, base
        self.trees = list[Step]()
        self.logits = torch.from_numpy(np.tile(base, (examples.count, 1)))
        self.now = Derivatives.of(objective, examples, self.logits)

    def add_tree(self, network: Boosting, seed: int) -> Step | None:
        """Fit a tree to the negative gradient, and return it; None: no split or step lowers the loss."""
        told = ((self.now.gradient != 0) | (self.now.curvature > 0)).any(1).numpy()
        chosen = np.flatnonzero(told)
        if network.sample < 1:
            draws = np.random.default_rng(seed)
            chosen = np.sort(draws.choice(chosen, max(1, round(network.sample * len(chosen))), replace=False))
        rows, counts = self.examples.rows, self.examples.samples.numpy()
        wanted = -self.now.gradient.numpy() / counts[:, None]  # of one sample of each
        tree = make_regressor(network, self.examples, seed)
        tree.fit(rows[chosen], wanted[chosen], sample_weight=counts[chosen])
        grown = Grown.of(tree)
        if len(grown.left) == 1:
            return None
        leaves = np.full(len(rows), -1)
        leaves[chosen] = tree.apply(rows[chosen])
        beside = network.smoothing * float(self.now.curvature.sum()) / self.examples.weight / self.examples.classes
        step = Step(grown, network.learning_rate * find_steps(self.now, leaves, len(grown.left), beside))
        for _ in range(MAX_HALVINGS):
            logits = self.logits + torch.from_numpy(step.at(rows))
            then = Derivatives.of(self.objective, self.examples, logits)
            if then.loss < self.now.loss:
                self.logits, self.now = logits, then
                self.trees.append(step)
                return step
            step = replace(step, values=step.values / 2)
        return None


class Watched:
    """The validation examples, and how many of the first trees have the least loss of them.

    Args:
        examples: validation examples.
        objective: the objective of their loss.
        base: constant logits.
    """

    def __init__(self, examples: Examples, objective: Objective, base: Floats) -> None:
        self.examples, self.objective = examples, objective
        self.logits = torch.from_numpy(np.tile(base, (examples.count, 1)))
        self.best, self.best_count, self.count = self._loss(), 0, 0

    def add_tree(self, step: Step) -> int:
        """Add a tree, and return how many trees ago the loss was least."""
        self.logits += torch.from_numpy(step.at(self.examples.rows))
        self.count += 1
        if (loss := self._loss()) < self.best:
            self.best, self.best_count = loss, self.count
        return self.count - self.best_count

    def _loss(self) -> float:
        mean, spread = self.examples.scale
        return self.examples.measure_logits(mean + spread * self.logits, self.objective)["loss"]
