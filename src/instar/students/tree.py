"""Decision trees: grown on targets by scikit-learn, filled with the best constants, pruned on the validation split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

from instar.errors import ConfigError
from instar.models.tree import Tree
from instar.objectives.objective import Objective
from instar.seeds import derive
from instar.students.examples import Examples
from instar.students.fitted import FittedStudent
from instar.students.held_out import find_held_out
from instar.students.leaf_values import Floats, Groups, gather_sums, refuse_without_aim, smooth, solve
from instar.students.student import Lesson
from instar.trees.arrays import TreeArrays
from instar.trees.cost_complexity import find_best_subtree
from instar.trees.stacking import Nodes as StackedNodes


class TreeStudent(FittedStudent):
    """Grows one tree on the targets of all examples, and prunes it.

    The tree is grown as a CART of several outputs, y_n = -g_n / h_n with the weight h_n: g_n is the gradient of the
    objective at the best constant logits, and h_n the strength of its curvature. For labels this is Gini's
    impurity. Each leaf then has the logits with the least loss of its samples, and the tree is pruned by cost and
    complexity to the subtree with the least loss on the validation split: of the objective, where the teacher knows
    these samples, and of their labels otherwise.

    Where labels are numbers, it is grown on the squared error for every loss, and leaves hold numbers.
    """

    noun = "a tree"

    def refuse_objective(self, objective: Objective) -> None:
        """Refuse an objective with a term that is no mean of targets."""
        refuse_without_aim(objective, self.noun)

    def fit(self, network: Any, examples: Examples, lesson: Lesson) -> int:
        """Grow, fill and prune the tree."""
        assert isinstance(network, Tree), "the catalogue gives each family its student"
        sums = gather_sums(lesson.objective, examples)
        grown = grow(network, examples, sums, derive(lesson.seed, "tree"))
        nodes = Nodes.of(grown, examples.rows, sums, network.smoothing, examples.weight)
        leaves = np.zeros(len(grown.left), bool)
        if network.prune and (held_out := find_held_out(lesson)) is not None:
            others, objective = held_out
            costs = nodes.losses(nodes.gather(others.rows, gather_sums(objective, others)))
            leaves = find_best_subtree(grown.left, grown.right, nodes.losses(nodes.sums), costs)
        network.take(collapse(grown, leaves, examples.to_unit(nodes.logits), network))
        return 1


@dataclass(frozen=True, eq=False)
class Grown:
    """The splits of a tree that has no values yet.

    Args:
        columns: column of each split, int32 `[nodes]`; negative at a leaf.
        thresholds: its threshold, float64 `[nodes]`.
        left: left child, int32 `[nodes]`; -1 at a leaf.
        right: right child.
        estimator: the tree of scikit-learn.
    """

    columns: NDArray[np.int32]
    thresholds: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    estimator: DecisionTreeRegressor

    @classmethod
    def of(cls, estimator: DecisionTreeRegressor) -> Grown:
        """Return the splits of a fitted tree of scikit-learn."""
        found = estimator.tree_
        left, right = (side.astype(np.int32) for side in (found.children_left, found.children_right))
        return cls(found.feature.astype(np.int32), found.threshold, left, right, estimator)

    def as_nodes(self, values: Floats) -> StackedNodes:
        """Return the tree with values, `[nodes, classes]`, in the form in which several are stacked."""
        nowhere = np.zeros(len(self.left), bool)
        return StackedNodes(self.columns, self.thresholds, self.left, self.right, values, nowhere)


class Bounded(Protocol):
    """How large a tree may become; the arguments of the models that have trees."""

    most_depth: int
    most_leaves: int
    min_samples: int


class Growing(Bounded, Protocol):
    """The same, with the random columns that each split chooses from; None: all."""

    split_columns: int | None


def grow(tree: Growing, examples: Examples, sums: list[Groups], seed: int) -> Grown:
    """Grow a tree on the gradients of the objective.

    Args:
        tree: says how large it may become, and how many random columns each split chooses from.
        examples: training examples.
        sums: terms, with each example as a group.
        seed: decides between equal splits.
    """
    rows = examples.rows
    everything = np.zeros(len(rows), np.int64)
    best = solve([one.within(everything, 1) for one in sums])
    at_best = np.broadcast_to(best, (len(rows), best.shape[1]))
    curvature = np.asarray(sum(one.strengths for one in sums))
    gradient = np.asarray(sum(one.pull(at_best) for one in sums))
    told = curvature > 0  # an example without a label or a target says nothing
    estimator = make_regressor(tree, examples, seed, tree.split_columns)
    estimator.fit(rows[told], -gradient[told] / curvature[told, None], sample_weight=curvature[told])
    return Grown.of(estimator)


def make_regressor(tree: Bounded, examples: Examples, seed: int, split_columns: int | None = None) -> Any:
    """Return an unfitted tree of scikit-learn.

    Args:
        tree: says how large it may become.
        examples: training examples; where they are weighted, a leaf has `min_samples` of their weight, not of rows.
        seed: decides between equal splits.
        split_columns: random columns that each split chooses from; None: all.
    """
    least: dict[str, Any] = {"min_samples_leaf": tree.min_samples}
    if examples.is_weighted and tree.min_samples > 1:
        if examples.weight < 2 * tree.min_samples:
            raise ConfigError(
                f"the weights of the samples add up to {examples.weight:g}, and each leaf needs {tree.min_samples} "
                "samples; a weight is a number of samples, so multiply all weights, or give a lower min_samples."
            )
        # a little less, because rounding must not refuse a leaf that has just enough
        least = {"min_weight_fraction_leaf": (tree.min_samples - 1e-6) / examples.weight}
    return DecisionTreeRegressor(
        max_depth=tree.most_depth or None,
        max_leaf_nodes=None if tree.most_leaves < 2 else tree.most_leaves,
        max_features=split_columns,
        random_state=seed % 2**32,
        **least,
    )


@dataclass(frozen=True, eq=False)
class Nodes:
    """The sums of the training examples of each node, inner ones too, and the logits that are best for them."""

    grown: Grown
    sums: list[Groups]
    logits: Floats

    @classmethod
    def of(cls, grown: Grown, rows: NDArray[np.float32], sums: list[Groups], smoothing: float, count: float) -> Nodes:
        """Return the nodes of a tree for training examples.

        Args:
            grown: the tree.
            rows: inputs, `[examples, columns]`.
            sums: terms, with each example as a group.
            smoothing: see `Tree`.
            count: number of examples, each as many times as its sample counts.
        """
        by_node = cls(grown, [], np.zeros((0, 0))).gather(rows, sums)
        whole = [one.at(slice(0, 1)) for one in by_node]
        return cls(grown, by_node, solve(smooth(by_node, whole, smoothing, count)))

    def gather(self, rows: NDArray[np.float32], sums: list[Groups]) -> list[Groups]:
        """Return the sums of each node, of terms with each row as a group."""
        leaves = self.grown.estimator.apply(rows)
        return [one.within(leaves, len(self.grown.left)).above(self.grown.left, self.grown.right) for one in sums]

    def losses(self, sums: list[Groups]) -> Floats:
        """Return the loss of each node if it were a leaf, of examples with these sums."""
        return np.asarray(sum(one.losses(self.logits) for one in sums))


def collapse(grown: Grown, leaves: NDArray[np.bool_], values: Floats, tree: Tree) -> TreeArrays:
    """Return a tree whose nodes in `leaves` are leaves, and what is below them is gone.

    Args:
        grown: the whole tree.
        leaves: nodes that become leaves.
        values: logits or numbers of all nodes.
        tree: the model.
    """
    is_leaf, kept, waiting = leaves | (grown.left < 0), list[int](), [0]
    while waiting:
        node = waiting.pop()
        kept.append(node)
        if not is_leaf[node]:
            waiting += [int(grown.right[node]), int(grown.left[node])]  # the left one is next
    number = np.full(len(grown.left), -1, np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)

    def children(side: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.where(is_leaf[kept], np.int32(-1), number[side[kept]])

    columns = np.where(is_leaf[kept], np.int32(-1), grown.columns[kept])
    thresholds = np.where(is_leaf[kept], 0.0, grown.thresholds[kept])
    both = children(grown.left), children(grown.right)
    return TreeArrays(
        columns, thresholds, *both, values[kept], [0], tree.columns, combine=tree.combine, meaning=tree.meaning
    )
