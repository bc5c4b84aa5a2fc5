"""Born-again trees of forests of 10 trees of depth 3, in seconds of this process, over the C++ of the paper.

The reference is the published time (Vidal and Schiffer 2020; for depth, leaves, and their heuristic). Its data are not
here, so rows are drawn with the same numbers of rows, columns and classes: ordinal columns of 10 bins, and binary
columns for COMPAS and FICO. Forests of drawn rows may be harder or easier than those of the paper, so the number of
boxes of cells stands beside each case. Each tree votes for a class, as in the paper. The memory of each search is a
case too, and a search of more than 10 seconds has one round.

| case | target |
|---|---|
| exact trees, by size of the paper's data | 2 times the seconds of the paper |
| prediction of a million rows of 30 columns, over scikit-learn | 1.2 |
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from instar.errors import MismatchError
from instar.trees import TreeArrays, as_trees, grow_faithful_tree, let_trees_vote, make_born_again_tree
from instar.trees.grid import Grid
from measure import Measured, Topic, parser

BINS, MAX_BOXES, SLOW_SECONDS = 10, 2_000_000_000, 10

SIZES = {
    "HTRU2": (17898, 8, 2, BINS, (0.01, 0.01, 0.01)),
    "COMPAS": (6907, 12, 2, 2, (0.01, 0.10, 0.04)),
    "Seeds": (210, 7, 3, BINS, (0.37, 5.96, 0.24)),
    "Pima": (768, 8, 2, BINS, (0.91, 17.95, 0.19)),
    "FICO": (10459, 17, 2, 2, (0.05, 0.23, 0.03)),
    "Breast-Cancer": (683, 9, 2, BINS, (39.09, 1381.0, 1.14)),
}
"""Rows, columns, classes, values of a column, and published seconds by depth, by leaves and of the heuristic."""


def draw_forest(rows: int, columns: int, classes: int, values: int) -> TreeArrays:
    """Return a forest of 10 voting trees of depth 3 that read half of the columns at each split."""
    x, y = make_classification(rows, columns, n_informative=columns // 2, n_classes=classes, random_state=0)
    cuts = np.quantile(x, np.linspace(0, 1, values + 1)[1:-1], axis=0)
    binned = (x[:, :, None] > cuts.T[None]).sum(2)
    return let_trees_vote(RandomForestClassifier(10, max_depth=3, max_features=0.5, random_state=0).fit(binned, y))


def measure_exact(topic: Topic, case: str, make: Callable[[], TreeArrays], published: float) -> None:
    """Add the seconds of a tree and the megabytes of its search, or print why it is refused."""
    try:
        times: list[float] = []
        while len(times) < topic.rounds and (not times or times[0] < SLOW_SECONDS):
            started = time.process_time()  # other programs on the machine do not count
            tree = make()
            times.append(time.process_time() - started)
    except MismatchError as error:
        print(f"{case}: {error}", flush=True)
        return
    case = f"{case}: depth {tree.depths[0]}, {tree.leaf_count} leaves"
    ratios = [one / published for one in times]
    topic.add(
        Measured(
            case,
            float(np.median(times)),
            "seconds",
            published,
            float(np.median(ratios)),
            len(times),
            (min(ratios), max(ratios)),
        )
    )
    tracemalloc.start()
    make()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    topic.add(Measured(case, peak, "MB", None, None, 1, (peak, peak)))


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds of this process for a piece of work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Measure exact trees, grown trees and predictions."""
    topic = Topic("trees", parser(__doc__).parse_args())
    for name, (*sizes, published) in SIZES.items():
        forest = draw_forest(*sizes)
        named = f"{name} ({', '.join(map(str, sizes))}), {Grid(forest).regions:,} boxes"
        makers = {
            "depth": partial(make_born_again_tree, forest, "depth", max_boxes=MAX_BOXES),
            "leaves": partial(make_born_again_tree, forest, "leaves", max_boxes=MAX_BOXES),
            "samples": partial(grow_faithful_tree, forest),
        }
        for (way, make), reference in zip(makers.items(), published, strict=True):
            if topic.wanted(f"{way} {named}"):
                measure_exact(topic, f"{way} {named}", make, reference)
    rows = np.random.default_rng(0).normal(size=(1_000_000, 30)).astype(np.float32)
    tree = DecisionTreeClassifier(max_leaf_nodes=64, random_state=0).fit(rows[:20_000], rows[:20_000, :5].sum(1) > 0)
    arrays = as_trees(tree)
    topic.compare(
        "prediction of a million rows of 30 columns by a tree of 64 leaves",
        lambda: seconds_of(lambda: arrays.predict(rows)),
        lambda: seconds_of(lambda: tree.predict_proba(rows)),
    )
    topic.write()


if __name__ == "__main__":
    main()
