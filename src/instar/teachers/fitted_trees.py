"""Arrays of trees as a fitted classifier, so that a file of them can teach and be evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import ConfigError
from instar.trees.arrays import TreeArrays


class FittedTrees:
    """`TreeArrays` with the attributes and methods of a fitted classifier of scikit-learn.

    Args:
        trees: trees of at least two classes.

    Raises:
        ConfigError: when they predict numbers.
    """

    def __init__(self, trees: TreeArrays) -> None:
        if trees.meaning == "numbers" or trees.outputs < 2:
            raise ConfigError("these trees predict numbers, and a teacher of classes needs trees of classes.")
        self.trees = trees
        self.classes_ = np.array(trees.classes or np.arange(trees.outputs))
        self.n_features_in_ = trees.columns
        if trees.feature_names:
            self.feature_names_in_ = trees.feature_names

    def predict_margins(self, inputs: Any) -> NDArray[np.float64]:
        """Return the logits of rows, `[n, classes]`, of trees that are added."""
        return self.trees.predict(as_numbers(inputs))

    def predict_proba(self, inputs: Any) -> NDArray[np.float64]:
        """Return the probabilities of rows, `[n, classes]`."""
        found = self.trees.predict(as_numbers(inputs))
        if self.trees.meaning == "probabilities":
            return found
        powers = np.exp(found - found.max(1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return shares


def as_numbers(inputs: Any) -> Any:
    """Return a data frame of numbers as an array, float64 `[rows, columns]`, and anything else as it is."""
    # a frame of numbers of several types is an array of objects
    kinds = {getattr(dtype, "kind", "O") for dtype in getattr(inputs, "dtypes", ())}
    return inputs.to_numpy(np.float64, na_value=np.nan) if kinds and kinds <= set("fiub") else inputs
