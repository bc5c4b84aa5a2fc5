"""A forest of randomised decision trees as a model."""

from __future__ import annotations

from math import prod

from instar.checks import Count, Natural, NonNegative, checked
from instar.models.tree_ensemble import TreeEnsemble


@checked
class Forest(TreeEnsemble):
    """The mean over trees of the probabilities softmax(z), or numbers, of leaves; `instar.students.forest` grows them.

    Args:
        trees: number of trees.
        depth: most splits from the root to a leaf; 0: no bound.
        leaves: most leaves of each tree, of the splits that gain most; 0: no bound.
        min_samples: least samples in a leaf.
        split_columns: random columns that each split chooses from; 0: the square root of their number, and a third of
            them where labels are numbers.
        smoothing: samples with the mean targets of all that each leaf counts beside its own.
        bootstrap: grow each tree on as many examples, drawn with replacement; False: on all.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.

    >>> model = Forest(10, input_shape=(4,), num_classes=3)
    >>> model.sizes()
    {'parameters': 3, 'trees': 1, 'leaves': 1, 'depth': 0}
    """

    combine = "mean"
    meaning = "probabilities"

    def __init__(
        self,
        trees: Count = 100,
        depth: Natural = 0,
        leaves: Natural = 0,
        min_samples: Count = 1,
        split_columns: Natural = 0,
        smoothing: NonNegative = 0.01,
        bootstrap: bool = True,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.num_trees, self.smoothing, self.bootstrap = trees, smoothing, bootstrap
        self.most_depth, self.most_leaves, self.min_samples = depth, leaves, min_samples
        self.split_columns: int | None = split_columns
        arguments = {
            "trees": trees,
            "depth": depth,
            "leaves": leaves,
            "min_samples": min_samples,
            "split_columns": split_columns,
            "smoothing": smoothing,
            "bootstrap": bootstrap,
        }
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make a tree of one leaf, and choose the columns of a split."""
        super().build(input_shape, num_classes)
        columns = prod(input_shape)
        usual = columns / 3 if num_classes == 1 else columns**0.5  # the defaults of Breiman's own program
        self.split_columns = min(columns, self.split_columns or max(1, round(usual)))
