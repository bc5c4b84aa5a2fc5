"""Forests: trees on random examples and columns, whose probabilities or numbers are averaged."""

from __future__ import annotations

from typing import Any

import numpy as np

from instar.models.forest import Forest
from instar.objectives.objective import Objective
from instar.seeds import derive
from instar.students.examples import Examples
from instar.students.fitted import FittedStudent
from instar.students.leaf_values import (
    Groups,
    gather_sums,
    log_softmax,
    refuse_other_than_squares,
    refuse_without_aim,
)
from instar.students.student import Lesson
from instar.students.tree import Nodes, grow
from instar.trees.stacking import Nodes as StackedNodes
from instar.trees.stacking import stack_trees


class ForestStudent(FittedStudent):
    """Grows each tree as `TreeStudent` does, on examples drawn with replacement, with random columns at each split.

    Each leaf holds q = softmax(z) of the logits z with the least loss of its examples, and the forest predicts
    log((1/M) sum_m q_m) over its M trees. With targets at the temperature 1, this is a weighted mean of the targets of
    training examples, so a leaf of one unusual example changes probabilities by at most 1/M; a mean of logits would let
    one tree that is sure decide alone. Where labels are numbers, leaves hold their weighted means, and so does the
    forest. Quantiles would be wrong: the mean over trees of the quantiles of small leaves is nearly the mean.

    Source: Breiman 2001, "Random forests".
    """

    noun = "a forest"

    def refuse_objective(self, objective: Objective) -> None:
        """Refuse an objective with a term that is no mean of targets."""
        refuse_without_aim(objective, self.noun)
        refuse_other_than_squares(objective, "a forest averages its trees, which have leaves of a few samples", "tree")

    def fit(self, network: Any, examples: Examples, lesson: Lesson) -> int:
        """Grow and fill all trees."""
        assert isinstance(network, Forest), "the catalogue gives each family its student"
        sums = gather_sums(lesson.objective, examples)
        seeds = [derive(lesson.seed, "forest", number) for number in range(network.num_trees)]
        trees = [grow_one(network, examples, sums, seed) for seed in seeds]
        network.take(stack_trees(trees, network.columns, combine="mean", meaning=network.meaning))
        return network.num_trees


def grow_one(forest: Forest, examples: Examples, sums: list[Groups], seed: int) -> StackedNodes:
    """Return one tree of a forest, whose leaves hold probabilities or numbers.

    Args:
        forest: says how large it may become.
        examples: all examples.
        sums: terms, with each example as a group.
        seed: decides which examples and columns the tree sees.
    """
    if forest.bootstrap:
        draws = np.random.default_rng(seed % 2**64)
        counts = np.bincount(draws.integers(0, examples.count, examples.count), minlength=examples.count)
        sums = [one.times(counts.astype(np.float64)) for one in sums]
    grown = grow(forest, examples, sums, seed)
    nodes = Nodes.of(grown, examples.rows, sums, forest.smoothing, examples.weight)
    values = examples.to_unit(nodes.logits) if examples.are_numbers else np.exp(log_softmax(nodes.logits))
    return grown.as_nodes(values)
