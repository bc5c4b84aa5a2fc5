"""Trees and forests as fitted estimators of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from instar.trees.arrays import TreeArrays
from instar.trees.descent import fill_tree

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def to_scikit_learn(trees: TreeArrays) -> BaseEstimator:
    """Return a fitted estimator that predicts as these trees do for rows of float32 numbers.

    | trees | estimator |
    |---|---|
    | one, of probabilities or logits | `DecisionTreeClassifier`, with softmax(logits) in its leaves |
    | several, the mean of probabilities | `RandomForestClassifier` |
    | one, of numbers | `DecisionTreeRegressor` |
    | several, of numbers or logits | `RandomForestRegressor`, whose `predict` returns the numbers or logits |

    scikit-learn has no estimator whose classes come from a sum of logits of several trees. Estimators of scikit-learn
    round rows to float32, so float64 rows near a threshold may go elsewhere.

    Args:
        trees: trees or forest.

    >>> nodes = {"features": [0, -1, -1], "thresholds": [0.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1]}
    >>> values = [[0.5, 0.5], [1, 0], [0.25, 0.75]]
    >>> tree = TreeArrays(**nodes, values=values, roots=[0], columns=1, classes=("no", "yes"))
    >>> to_scikit_learn(tree).predict([[0.5], [0.6]]).tolist()
    ['no', 'yes']
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    is_single = len(trees.roots) == 1
    # a forest averages its trees
    factor = len(trees.roots) if trees.combine == "sum" else 1
    values = trees.values * factor + trees.base
    is_classifier = trees.meaning == "probabilities" or (trees.meaning == "logits" and is_single)
    if trees.meaning == "logits" and is_single:
        values = np.exp(values - values.max(1, keepdims=True))
    if is_classifier:
        values = values / values.sum(1, keepdims=True)
    make = DecisionTreeClassifier if is_classifier else DecisionTreeRegressor
    names = np.array(trees.classes or range(trees.outputs))
    found = [_fill(make(), trees, root, values, is_classifier) for root in trees.roots.tolist()]
    whole: Any = found[0]
    if not is_single:
        whole = (RandomForestClassifier if is_classifier else RandomForestRegressor)(len(found))
        whole.estimators_, whole.estimator_ = found, make()
        whole.n_features_in_, whole.n_outputs_ = trees.columns, found[0].n_outputs_
        if is_classifier:
            whole.n_classes_ = trees.outputs
    if is_classifier:
        whole.classes_ = names
    if trees.feature_names:
        whole.feature_names_in_ = np.array(trees.feature_names, dtype=object)
    return whole


def _fill(estimator: Any, trees: TreeArrays, root: int, values: NDArray[np.float64], is_classifier: bool) -> Any:
    """Return an estimator that is fitted to nothing, with the nodes of one tree in the place of its own."""
    outputs = trees.outputs
    answers = np.arange(outputs) if is_classifier else np.zeros((2, outputs) if outputs > 1 else 2)
    estimator.fit(np.zeros((len(answers), trees.columns), np.float32), answers)
    kept = values[:, None, :] if is_classifier else values[:, :, None]
    estimator.tree_, _ = fill_tree(estimator.tree_, trees, root, kept)
    return estimator
