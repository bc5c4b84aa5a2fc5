"""`DistilledClassifier(forest, "tree").fit` over the forest's predictions plus scikit-learn's own fit of a tree.

Both trees have the same bound, and the reference is a `DecisionTreeRegressor` of the probabilities, which is what a
tree learns from a forest. A tree of hard labels is quicker, because it stops where all rows have one class; it stands
beside them as a case of its own.

| case | target |
|---|---|
| fit on 20,000 rows of 30 columns, by bound of the tree | 1.2 |
| prediction of 100,000 rows, over scikit-learn's tree, by the estimator and by its student alone | 1.2 |
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from instar.sklearn import DistilledClassifier
from measure import Topic, parser

ROWS, COLUMNS = 20_000, 30

BOUNDS = {"64 leaves": ({"leaves": 64}, {"max_leaf_nodes": 64}), "no bound": ({}, {})}
"""Arguments of Instar's tree and of scikit-learn's, by the name of the bound."""


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds of this process for a piece of work."""
    started = time.process_time()  # other programs on the machine do not count
    work()
    return time.process_time() - started


def main() -> None:
    """Measure fits and predictions."""
    topic = Topic("estimators", parser(__doc__).parse_args())
    x, y = make_classification(ROWS, COLUMNS, n_informative=10, n_classes=3, flip_y=0.05, random_state=0)
    forest = RandomForestClassifier(100, random_state=0).fit(x, y)
    for bound, (ours, theirs) in BOUNDS.items():
        tree = DistilledClassifier(forest, student_arguments=ours, random_state=0)

        def fit_regressor(theirs: dict[str, int] = theirs) -> object:
            return DecisionTreeRegressor(**theirs, random_state=0).fit(x, forest.predict_proba(x))

        def fit_classifier(theirs: dict[str, int] = theirs) -> object:
            forest.predict_proba(x)
            return DecisionTreeClassifier(**theirs, random_state=0).fit(x, y)

        for name, reference in (("the probabilities", fit_regressor), ("hard labels", fit_classifier)):
            topic.compare(
                f"fit on {ROWS:,} rows of {COLUMNS} columns, {bound}, over a fit of {name}",
                lambda tree=tree: seconds_of(lambda: tree.fit(x, y)),  # type: ignore[misc]  # its default is known
                lambda reference=reference: seconds_of(reference),  # type: ignore[misc]
                turns=1,
            )
    small, rows = DecisionTreeClassifier(max_leaf_nodes=64, random_state=0).fit(x, y), np.tile(x, (5, 1))
    tree = DistilledClassifier(forest, student_arguments={"leaves": 64}, random_state=0).fit(x, y)
    topic.compare(
        f"prediction of {len(rows):,} rows of {COLUMNS} columns by a tree of 64 leaves",
        lambda: seconds_of(lambda: tree.predict_proba(rows)),
        lambda: seconds_of(lambda: small.predict_proba(rows)),
    )
    table = rows.astype(np.float32)
    topic.compare(
        f"prediction of {len(rows):,} rows of {COLUMNS} columns by the student alone, float32",
        lambda: seconds_of(lambda: tree.student_(torch.from_numpy(table))),
        lambda: seconds_of(lambda: small.predict_proba(table)),
    )
    topic.write()


if __name__ == "__main__":
    main()
