"""Boosted decision trees as a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from instar.checks import Count, Natural, NonNegative, checked
from instar.models.tree_ensemble import TreeEnsemble

Share = Annotated[float, Field(gt=0, le=1, description="above 0 and at most 1")]


@checked
class Boosting(TreeEnsemble):
    """z = base + the sum over rounds of a tree's leaf; `instar.students.boosting` says how each tree is fitted.

    Args:
        rounds: most trees.
        learning_rate: factor of each tree.
        depth: most splits from the root to a leaf; 0: no bound.
        leaves: most leaves of each tree, of the splits that gain most; 0: no bound.
        min_samples: least samples in a leaf.
        smoothing: samples of mean curvature that each leaf counts beside its own, which shrinks small leaves.
        sample: share of the examples that each tree is fitted to.
        patience: end when so many rounds were no better on the validation split, and keep the best; 0: keep all.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.

    >>> model = Boosting(10, input_shape=(4,), num_classes=3)
    >>> model.sizes()
    {'parameters': 3, 'trees': 1, 'leaves': 1, 'depth': 0}
    """

    def __init__(
        self,
        rounds: Count = 100,
        learning_rate: Share = 0.1,
        depth: Natural = 0,
        leaves: Natural = 16,
        min_samples: Count = 5,
        smoothing: NonNegative = 1.0,
        sample: Share = 1.0,
        patience: Natural = 20,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.rounds, self.learning_rate, self.sample, self.patience = rounds, learning_rate, sample, patience
        self.most_depth, self.most_leaves, self.min_samples, self.smoothing = depth, leaves, min_samples, smoothing
        arguments = {
            "rounds": rounds,
            "learning_rate": learning_rate,
            "depth": depth,
            "leaves": leaves,
            "min_samples": min_samples,
            "smoothing": smoothing,
            "sample": sample,
            "patience": patience,
        }
        super().__init__(arguments, input_shape, num_classes)
