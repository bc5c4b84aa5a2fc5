"""Vidal and Schiffer 2020, "Born-again tree ensembles": the smallest trees that equal forests everywhere.

Forests have 10 trees of depth 3 that try half of the columns at each split, on columns of at most 10 quantiles. Each
tree votes for one class, and splits whose sides vote alike are dropped, as in the paper. D is the equal tree of the
least depth, L that of the fewest leaves, H one that is grown by samples, and D pruned is D without the splits one side
of which holds no training row. D, L and H are proved to equal their forest everywhere.

Of the paper's data sets none is here. Each has a like one in its place, beside which the paper's numbers stand:

1. Breast-Cancer (683 rows, 9 columns): that of scikit-learn, 569 rows and 9 columns.
2. COMPAS (6,907 rows, 12 columns): `churn`, 6,339 rows; 12 columns, of which words are one-hot.
3. FICO (10,459 rows, 17 columns): digits, 0 to 4 against 5 to 9, 1,797 rows and 8 of 4 x 4 pixels.
4. HTRU2 (17,898 rows, 8 columns): `diamonds`, an ideal cut or not, 10,000 rows and 7 columns.
5. Pima (768 rows, 8 columns): diabetes of scikit-learn, above the median or not, 442 rows and 8 columns.
6. Seeds (210 rows, 7 columns, 3 classes): wine of scikit-learn, 178 rows and 7 columns.

FICO has binary columns, and the like digits 10 shades, so 8 of them make as many cells as these forests may have.

Seconds are those of one core, and the paper's of its C++ (heuristic: with a solver) on another machine. A forest that
has too many boxes of cells is left out of the means, and counted in the note.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import mean
from typing import Any

import numpy as np

from instar.errors import ConfigError, MismatchError
from instar.papers.claims import judge_claim
from instar.papers.forest_data import bin_columns, load_rows, remember
from instar.papers.table import Order, Table, TableRow
from instar.trees.arrays import TreeArrays
from instar.trees.born_again import make_born_again_tree
from instar.trees.equality import equal
from instar.trees.faithful import grow_faithful_tree
from instar.trees.pruning import prune_empty_splits
from instar.trees.voting import let_trees_vote

TITLE = "Vidal and Schiffer 2020: born-again tree ensembles"
DATA = "../shared/data"
FOLDS = 10
NUM_TREES, DEPTH = 10, 3

COLUMNS = (
    *("forest leaves", "D depth", "D leaves", "L depth", "L leaves", "D pruned depth", "D pruned leaves"),
    *("forest accuracy", "D pruned accuracy", "D seconds", "L seconds", "H seconds"),
)
"""What the paper prints of each data set; the accuracy of the forest is also that of D, L and H."""

PUBLISHED = {
    "breast cancer": ("Breast-Cancer", (61.1, 12.5, 2279.4, 18.0, 890.1, 9.1, 35.9, 95.3, 94.6, 39.09, 1381, 1.14)),
    "churn": ("COMPAS", (46.7, 8.9, 119.9, 8.9, 37.1, 7.0, 31.2, 66.0, 66.0, 0.01, 0.10, 0.04)),
    "digits": ("FICO", (47.3, 8.6, 71.3, 8.6, 39.2, 6.5, 15.8, 69.7, 69.7, 0.05, 0.23, 0.03)),
    "diamonds": ("HTRU2", (42.6, 6.0, 20.2, 6.3, 11.9, 5.1, 13.2, 97.7, 97.7, 0.01, 0.01, 0.01)),
    "diabetes": ("Pima", (53.7, 9.6, 460.1, 15.0, 169.7, 9.4, 79.0, 74.6, 75.0, 0.91, 17.95, 0.19)),
    "wine": ("Seeds", (55.7, 10.2, 450.9, 13.8, 214.6, 7.5, 21.5, 79.0, 79.0, 0.37, 5.96, 0.24)),
}
"""Name of the like data set of the paper, and its numbers in the order of `COLUMNS`."""


@dataclass(frozen=True)
class TreeScale:
    """Amount of work for a table.

    Args:
        names: data sets.
        folds: how many of ten folds are tested.
        max_boxes: most boxes of cells of a forest.
        columns: most columns.
    """

    names: tuple[str, ...]
    folds: int
    max_boxes: int
    columns: int = 12


SCALES = {
    "smoke": TreeScale(("wine",), 2, 5_000_000, 4),
    "small": TreeScale(tuple(PUBLISHED), 5, 2_000_000_000),
    "paper": TreeScale(tuple(PUBLISHED), FOLDS, 2_000_000_000),
}


def run(order: Order) -> Table:
    """Measure the missing folds, and return the table."""
    size = SCALES[order.scale]
    names = [name for name in size.names if not order.nets or name in order.nets]
    folds = [fold for fold in order.seed_numbers(size.folds) if fold < FOLDS]
    if not folds:
        raise ConfigError(f"first_seed must be less than the {FOLDS} folds, got {order.first_seed}.")
    rows: list[TableRow] = []
    problems: list[list[dict[str, Any]]] = []
    for name in names:
        found = []
        for fold in folds:
            path = order.out / name.replace(" ", "-") / f"{fold}.json"
            found.append(remember(path, partial(_measure, name, order.data, fold, size)))
            order.report(f"{name}, fold {fold}")
        solved = [one for one in found if not one["refused"]]
        rows += _rows(name, found, solved)
        problems.append(found)
    return Table(TITLE, tuple(rows), "\n".join(f"- {one}" for one in _judge(problems)))


def _measure(name: str, folder: str, fold: int, size: TreeScale) -> dict[str, Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold

    rows, labels = load_rows(name, folder, few=True)
    rows = bin_columns(rows[:, : size.columns])
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, labels)
    train, test = list(splits)[fold]
    forest = RandomForestClassifier(NUM_TREES, max_depth=DEPTH, max_features=0.5, random_state=fold)
    trees = let_trees_vote(forest.fit(rows[train], labels[train]))

    def accuracy(tree: TreeArrays) -> float:
        return 100 * float((tree.classify(rows[test]) == labels[test]).mean())

    found: dict[str, Any] = {"forest leaves": trees.leaf_count, "forest accuracy": accuracy(trees), "refused": ""}
    made: dict[str, TreeArrays] = {}
    ways: dict[str, Callable[[], TreeArrays]] = {
        "D": partial(make_born_again_tree, trees, "depth", max_boxes=size.max_boxes),
        "L": partial(make_born_again_tree, trees, "leaves", max_boxes=size.max_boxes),
        "H": partial(grow_faithful_tree, trees),
    }
    for way, make in ways.items():
        started = time.process_time()
        try:
            made[way] = make()
        except MismatchError as error:
            return found | {"refused": str(error)}
        found[f"{way} seconds"] = time.process_time() - started
        assert equal(made[way], trees), "a born-again tree is equal to its forest"
    made["D pruned"] = prune_empty_splits(made["D"], rows[train])
    for way, tree in made.items():
        found |= {f"{way} depth": int(tree.depths[0]), f"{way} leaves": tree.leaf_count}
    return found | {"D pruned accuracy": accuracy(made["D pruned"])}


def _rows(name: str, found: list[dict[str, Any]], solved: list[dict[str, Any]]) -> Iterator[TableRow]:
    like, numbers = PUBLISHED[name]
    published: dict[str, float] = dict(zip(COLUMNS, numbers, strict=True))
    note = f"published: {like}"
    if refused := len(found) - len(solved):
        note += f"; {refused} of {len(found)} forests have too many boxes"
    for column in (*COLUMNS, "H leaves"):
        row, quantity = column.rsplit(" ", 1)
        unit = {"accuracy": "%", "seconds": "s"}.get(quantity, "count")
        values = [one[column] for one in solved]
        yield TableRow(f"{name}: {row}", quantity, unit, published.get(column), values, note=note)


def _judge(problems: list[list[dict[str, Any]]]) -> Iterator[str]:
    # a fold counts if it is solved in all data sets, whose mean it has
    folds = [fold for fold in zip(*problems, strict=True) if not any(one["refused"] for one in fold)]
    if len(folds) < 2:
        return

    def values(column: str, sign: int = 1) -> list[float]:
        return [sign * mean(one[column] for one in fold) for fold in folds]

    for claim, ours, theirs in (
        ("L has fewer leaves than D", "L leaves", "D leaves"),
        ("L has fewer leaves than H", "L leaves", "H leaves"),
        ("D pruned has fewer leaves than the forest", "D pruned leaves", "forest leaves"),
        ("D has fewer leaves than the forest", "D leaves", "forest leaves"),
    ):
        yield judge_claim(claim, values(ours), values(theirs), "leaves")
    pruned, whole = values("D pruned accuracy", -1), values("forest accuracy", -1)
    if np.ptp(np.subtract(pruned, whole)):  # equal pairs have no spread
        yield judge_claim("D pruned is more accurate than the forest", pruned, whole)
