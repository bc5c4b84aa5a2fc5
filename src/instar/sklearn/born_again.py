"""`BornAgainClassifier`: one tree that predicts the class of a forest for every row."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from instar.errors import ConfigError, DataError, MismatchError
from instar.sklearn.labels import read_classes, read_weights
from instar.sklearn.rows import find_words
from instar.sklearn.teaching import Taught
from instar.trees.born_again import Size, make_born_again_tree
from instar.trees.equality import equal
from instar.trees.faithful import grow_faithful_tree
from instar.trees.pruning import prune_empty_splits
from instar.trees.reading import as_trees


class BornAgainClassifier(ClassifierMixin, Taught):  # type: ignore[misc]  # it has no types
    """One tree that predicts the class of a forest for every row without missing values, with a proof.

    Source: Vidal and Schiffer 2020, "Born-Again Tree Ensembles".

    Args:
        forest: tree, forest or boosted trees of scikit-learn, XGBoost or LightGBM. One that is fitted is never fitted
            again, and copies of this estimator share it. None: 10 trees of depth 3 of scikit-learn's random forest.
        objective: what is smallest: "depth", "leaves" or "depth then leaves".
        exact: find the smallest tree; False: grow a tree that is equal to the forest too, and not the smallest, in
            seconds. The objective has no effect on it.
        prune: drop each split one side of which has no row of `fit`. The tree is then equal only where there are data.
        max_boxes: see `instar.trees.make_born_again_tree`.
        random_state: seed of the forest where none is given.

    Attributes:
        classes_: the classes of the forest.
        forest_: the fitted forest.
        tree_: the tree as `instar.trees.TreeArrays`.
        proof_: whether `tree_` equals the forest, see `instar.trees.equal`. It is true without pruning, and false after
            one that changed a class anywhere; `proof_.row` is then a row where they differ.
        n_features_in_: number of columns.
        feature_names_in_: their names, of a data frame.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(5, max_depth=2, random_state=0).fit(x, y)
    >>> tree = BornAgainClassifier(forest, "leaves").fit(x, y)
    >>> bool((tree.predict(x) == forest.predict(x)).all()), tree.get_n_leaves()
    (True, 18)
    """

    teacher_name: ClassVar[str] = "forest"

    def __init__(
        self,
        forest: Any = None,
        objective: Size = "depth",
        *,
        exact: bool = True,
        prune: bool = False,
        max_boxes: int = 1_000_000_000,
        random_state: Any = None,
    ) -> None:
        self.forest = forest
        self.objective = objective
        self.exact = exact
        self.prune = prune
        self.max_boxes = max_boxes
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the forest, unless it is fitted, and make the tree.

        Args:
            X: numbers, `[rows, columns]`.
            y: classes, `[rows]`.
            sample_weight: weights of the rows for the forest, `[rows]`.

        Raises:
            ValueError: in one sentence.
        """
        if self.objective not in ("depth", "leaves", "depth then leaves"):
            raise ConfigError(f"objective must be depth, leaves or depth then leaves, got {self.objective!r}.")
        try:
            rows = validate_data(self, X, dtype=np.float64)
        except ValueError:
            if (column := find_words(X)) is None:
                raise
            raise DataError(
                f"column '{column}' of X holds no numbers, and a born-again tree splits numbers; encode it before, and "
                "give a forest of the encoded columns."
            ) from None
        labels = read_classes(self, rows, y)
        weights = read_weights(sample_weight, rows)
        if len(np.unique(labels)) < 2:
            raise DataError(f"y has one class, {labels[0]!r}, and a classifier needs at least two.")
        self.forest_, numbered = self._fit_classifier(X, labels, weights)
        trees = as_trees(self.forest_)
        if trees.columns != rows.shape[1]:
            raise MismatchError(f"the forest was fitted to {trees.columns} features, and X has {rows.shape[1]}.")
        own = getattr(self.forest_, "classes_", np.arange(trees.outputs))
        self.classes_ = np.asarray(own if numbered is None else numbered)
        if self.exact:
            tree = make_born_again_tree(trees, self.objective, max_boxes=self.max_boxes)
        else:
            tree = grow_faithful_tree(trees)
        self.proof_ = equal(tree, trees)
        assert self.proof_, "a born-again tree is equal to its forest"
        self.tree_ = tree
        if self.prune:
            self.tree_ = prune_empty_splits(tree, rows)
            self.proof_ = equal(self.tree_, trees)  # it may differ where there are no rows
        return self

    def _refuse_teacher(self, teacher: Any) -> None:
        if isinstance(teacher, Pipeline):
            raise ConfigError(
                "a pipeline is no forest; give its last step as the forest, and X as the steps before it return it."
            )

    def _default_teacher(self) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(10, max_depth=3)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return 1 for the class of the forest and 0 for the others, `[rows, classes]`."""
        check_is_fitted(self, "tree_")
        return self.tree_.predict(validate_data(self, X, reset=False, dtype=np.float64))

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the class that the forest predicts, `[rows]`."""
        check_is_fitted(self, "tree_")
        found: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return found

    def rules(self) -> str:
        """Return the tree as nested conditions in words."""
        from instar.exporting.to_rules import write_lines
        from instar.models.questions import ask_numbers

        check_is_fitted(self, "tree_")
        questions = ask_numbers(self.tree_, getattr(self, "feature_names_in_", ()))
        return "\n".join(write_lines(questions, tuple(map(str, self.classes_))))

    def get_depth(self) -> int:
        """Return the depth of the tree."""
        check_is_fitted(self, "tree_")
        return int(self.tree_.depths[0])

    def get_n_leaves(self) -> int:
        """Return the number of its leaves."""
        check_is_fitted(self, "tree_")
        return self.tree_.leaf_count
