"""A decision tree of the CART family as a model."""

from __future__ import annotations

from instar.checks import Count, Natural, NonNegative, checked
from instar.models.tree_ensemble import TreeEnsemble


@checked
class Tree(TreeEnsemble):
    """One decision tree whose leaves hold logits; `instar.students.tree` says how it is grown, pruned and filled.

    Args:
        depth: most splits from the root to a leaf; 0: no bound.
        leaves: most leaves, of the splits that gain most; 0: no bound.
        min_samples: least samples in a leaf.
        smoothing: samples with the mean targets of all that each leaf counts beside its own.
        prune: prune to the subtree that is best on the validation split.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.

    >>> model = Tree(input_shape=(4,), num_classes=3)
    >>> model.sizes()
    {'parameters': 3, 'trees': 1, 'leaves': 1, 'depth': 0}
    """

    def __init__(
        self,
        depth: Natural = 0,
        leaves: Natural = 0,
        min_samples: Count = 1,
        smoothing: NonNegative = 1.0,
        prune: bool = True,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.most_depth, self.most_leaves, self.min_samples = depth, leaves, min_samples
        self.smoothing, self.prune = smoothing, prune
        self.split_columns: int | None = None  # all
        arguments = {
            "depth": depth,
            "leaves": leaves,
            "min_samples": min_samples,
            "smoothing": smoothing,
            "prune": prune,
        }
        super().__init__(arguments, input_shape, num_classes)
