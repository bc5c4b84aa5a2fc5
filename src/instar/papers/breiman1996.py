"""Breiman and Shang 1996, "Born again trees": one tree for an ensemble, grown on manufactured rows.

An ensemble of bagged trees labels smeared rows, on which one tree is grown and pruned; see
`instar.trees.grow_on_manufactured_rows`. The paper claims that this tree is between a single tree and the ensemble, and
usually close to the ensemble. Its numbers were not at hand, so none stand in the table. Choices of this module:

1. Bagging of 50 trees; data sets that are here. Words are their numbers, which smearing keeps.
2. Smearing with the probabilities 0.5 and 0.25; 500 manufactured rows per node, at most 50,000 at scale `small`.
3. The single tree is pruned by cost and complexity, with a strength that five folds of the training rows choose.

One control is a single tree with the ensemble's classes of the training rows as labels: it has the teacher, and no
manufactured rows. Each seed draws another test set of a quarter of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.data.synthetic.grown_trees import grow_on_generated_rows
from instar.papers.claims import judge_claim, mean_over_problems
from instar.papers.forest_data import load_rows, remember
from instar.papers.table import Order, Table, TableRow
from instar.trees.reading import as_trees

TITLE = "Breiman and Shang 1996: born again trees"
DATA = "../shared/data"
NUM_TREES = 50
NUM_STRENGTHS = 8

ARMS = {
    "tree": "single tree",
    "ensemble": "ensemble",
    "grown": "born again, smearing 0.5",
    "grown-quarter": "born again, smearing 0.25",
    "relabelled": "control: single tree, classes of the ensemble",
}
"""Titles of the rows."""


@dataclass(frozen=True)
class GrowthScale:
    """Amount of work for a table.

    Args:
        names: data sets.
        seeds: test sets.
        rows_per_node: manufactured rows by which a node is split.
        max_rows: most manufactured rows of a tree.
    """

    names: tuple[str, ...]
    seeds: int
    rows_per_node: int
    max_rows: int


_ALL = ("breast cancer", "wine", "diabetes", "digits", "churn", "diamonds")

SCALES = {
    "smoke": GrowthScale(("wine",), 2, 200, 4000),
    "small": GrowthScale(_ALL, 5, 500, 50_000),
    "paper": GrowthScale(_ALL, 20, 1000, 1_000_000),
}


def run(order: Order) -> Table:
    """Measure the missing seeds, and return the table."""
    size = SCALES[order.scale]
    rows: list[TableRow] = []
    problems: list[list[dict[str, float]]] = []
    for name in [name for name in size.names if not order.nets or name in order.nets]:
        found = []
        for seed in order.seed_numbers(size.seeds):
            path = order.out / name.replace(" ", "-") / f"{seed}.json"
            found.append(remember(path, partial(_measure, name, order.data, seed, size)))
            order.report(f"{name}, seed {seed}")
        for arm, title in ARMS.items():
            for quantity, unit in (("error", "%"), ("leaves", "count")):
                values = [one[f"{arm} {quantity}"] for one in found]
                rows.append(TableRow(f"{name}: {title}", quantity, unit, None, values))
        problems.append(found)
    return Table(TITLE, tuple(rows), "\n".join(f"- {one}" for one in _judge(problems)))


def _measure(name: str, folder: str, seed: int, size: GrowthScale) -> dict[str, Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    rows, labels = load_rows(name, folder, few=False)
    train, test, known, wanted = train_test_split(rows, labels, test_size=0.25, stratify=labels, random_state=seed)
    forest = RandomForestClassifier(NUM_TREES, max_features=None, random_state=seed).fit(train, known)
    trees = as_trees(forest)
    models = {"ensemble": trees} | {
        arm: as_trees(_fit_pruned_tree(train, targets, seed))
        for arm, targets in (("tree", known), ("relabelled", trees.classify(train)))
    }
    grow = partial(grow_on_generated_rows, seed=seed, rows_per_node=size.rows_per_node, max_rows=size.max_rows)
    for arm, method in (("grown", "Smearing(0.5)"), ("grown-quarter", "Smearing(0.25)")):
        models[arm] = grow(trees, train, method).tree
    found: dict[str, Any] = {}
    for arm, model in models.items():
        found[f"{arm} error"] = 100 * float((model.classify(test) != wanted).mean())
        found[f"{arm} leaves"] = model.leaf_count
    return found


def _fit_pruned_tree(rows: NDArray[np.float64], labels: NDArray[np.intp], seed: int) -> Any:
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    whole = DecisionTreeClassifier(random_state=seed)
    strengths = whole.cost_complexity_pruning_path(rows, labels)["ccp_alphas"].clip(min=0)
    tried = np.unique(np.quantile(strengths, np.linspace(0, 1, NUM_STRENGTHS)))
    return GridSearchCV(whole, {"ccp_alpha": tried.tolist()}, cv=5).fit(rows, labels).best_estimator_


def _judge(problems: list[list[dict[str, float]]]) -> Iterator[str]:
    if not problems or len(problems[0]) < 2:
        return

    def errors(arm: str) -> list[float]:
        return mean_over_problems([one[f"{arm} error"] for one in found] for found in problems)

    for ours, theirs in (
        ("grown", "tree"),
        ("ensemble", "grown"),
        ("grown", "relabelled"),
        ("grown", "grown-quarter"),
    ):
        if np.ptp(np.subtract(errors(ours), errors(theirs))):  # equal pairs have no spread
            words = ARMS[theirs].removeprefix("control: ")
            yield judge_claim(f"{ARMS[ours]} better than {words}", errors(ours), errors(theirs))
