"""The splits of trees as questions about raw inputs: columns of a table in the user's units, pixels or numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instar.data.columns.cell_rows import UNSEEN_CODE
from instar.data.columns.schema import TableColumn
from instar.errors import MismatchError, one_line
from instar.models.normalised import Normalised
from instar.models.readers.cell_encoding import CellEncoding
from instar.models.readers.cells import Cells
from instar.models.tree_ensemble import TreeEnsemble
from instar.trees.arrays import TreeArrays
from instar.trees.thresholds import LEAF, largest_in_float32

Floats = NDArray[np.float64]

MAX_SHORTENED = 1e5
"""Larger bounds are shown as whole numbers, and others with five digits."""

MAX_SECONDS = 2e11
"""Dates further than this from 1970 are shown in seconds."""


class Question(IntEnum):
    """What a node asks about the value x of its column."""

    NONE = 0
    """Nothing: it is a leaf."""
    AT_MOST = 1
    """x <= bound"""
    IS = 2
    """x == bound, the number of a word"""
    MISSING = 3
    """x is missing (NaN)"""


@dataclass(frozen=True, eq=False)
class Questions:
    """Trees whose nodes ask about one raw value each; `yes` and `no` lead on, and every answer is exact.

    Args:
        columns: columns of a raw row: names, types and words.
        trees: leaves, roots and values; its splits are those of the network and are not used.
        asked: a `Question` for each node, int8 `[nodes]`.
        places: number of the column, int32 `[nodes]`.
        bounds: threshold or number of a word, float64 `[nodes]`.
        if_missing: answer where the value is missing, bool `[nodes]`.
        yes: node that follows "yes", int32 `[nodes]`; -1 at a leaf.
        no: node that follows "no".
        allows_missing: whether values may be missing; otherwise the outputs of such a row are NaN.
    """

    columns: tuple[TableColumn, ...]
    trees: TreeArrays
    asked: NDArray[np.int8]
    places: NDArray[np.int32]
    bounds: Floats
    if_missing: NDArray[np.bool_]
    yes: NDArray[np.int32]
    no: NDArray[np.int32]
    allows_missing: bool

    def tell(self, node: int, *, answer: bool, exact: bool) -> str:
        """Return the condition under which the answer to a node's question is this one, in words.

        Args:
            node: number of a node that is no leaf.
            answer: yes or no.
            exact: write all digits, and what happens to missing values; otherwise a few digits.
        """
        column, bound = self.columns[self.places[node]], float(self.bounds[node])
        name, asked = one_line(column.name), self.asked[node]
        if asked == Question.MISSING:
            return f"{name} is {'missing' if answer else 'known'}"
        if asked == Question.IS:
            is_known = bound != UNSEEN_CODE
            word = json.dumps(column.categories[int(bound)], ensure_ascii=False) if is_known else "a rare or new word"
            told = f"{name} is {'' if answer else 'not '}{word}"
        elif column.kind == "boolean" and 0 <= bound < 1:
            told = f"{name} is {'false' if answer else 'true'}"
        else:
            told = f"{name} {'<=' if answer else '>'} {_tell_bound(bound, column.kind, exact)}"
        may_be_missing = exact and self.allows_missing and bool(self.if_missing[node]) == answer
        return told + (" or is missing" if may_be_missing else "")

    def apply(self, rows: Floats) -> NDArray[np.int32]:
        """Return the leaf of each raw row in each tree, int32 `[rows, trees]`."""
        at = np.tile(self.trees.roots, (len(rows), 1))
        every = np.arange(len(rows))[:, None]
        while (inner := self.asked[at] != Question.NONE).any():
            values, bounds, asked = rows[every, self.places[at]], self.bounds[at], self.asked[at]
            is_missing = np.isnan(values)
            answer = np.where(asked == Question.IS, values == bounds, values <= bounds) & (asked != Question.MISSING)
            answer = np.where(is_missing, self.if_missing[at], answer)
            at = np.where(inner, np.where(answer, self.yes[at], self.no[at]), at)
        return at

    def predict(self, rows: ArrayLike) -> Floats:
        """Return logits, or numbers where the trees predict numbers, float64 `[rows, outputs]`.

        Args:
            rows: raw rows, `[rows, columns]`: numbers, words as their numbers, NaN for a missing value.
        """
        table = np.asarray(rows, np.float64)
        leaves = self.apply(table)
        total = np.tile(self.trees.base if self.trees.combine == "sum" else 0 * self.trees.base, (len(table), 1))
        for tree in range(leaves.shape[1]):
            total += self.trees.values[leaves[:, tree]]
        if self.trees.combine == "mean":
            total = total / leaves.shape[1] + self.trees.base
        if self.trees.meaning == "probabilities":
            with np.errstate(divide="ignore"):
                total = np.log(total)
        if not self.allows_missing:
            total[np.isnan(table).any(1)] = np.nan
        return total


def ask_raw(model: Normalised, shape: Sequence[int], dtype: str) -> Questions:
    """Return the trees of a model as questions about its raw inputs.

    Args:
        model: its network is a `TreeEnsemble`.
        shape: shape of one raw input; that of a table is its number of columns.
        dtype: type of the raw inputs.

    Raises:
        MismatchError: when the network is no tree, or its inputs are standardised.
    """
    network = model.network
    if not isinstance(network, TreeEnsemble):
        raise MismatchError(f"the model {type(network).__name__} is no decision tree, and only these ask questions.")
    if model.mean.any() or (model.std != 1).any():
        raise MismatchError("the reader of this tree standardises its inputs, and its questions would be about those.")
    trees = network.trees
    below = trees.thresholds.astype(np.float32)  # rows are float32, see TreeEnsemble.check
    below = np.where(below > trees.thresholds, np.nextafter(below, np.float32(-np.inf)), below)
    if (scale := model.output_scale) is not None:
        trees = trees.rescaled(scale.mean.double().numpy(), scale.std.double().numpy())
    if isinstance(model.reader, Cells) and (encoding := model.reader.encoding) is not None:
        return _ask_cells(trees, below, encoding)
    if dtype == "uint8":
        levels = np.arange(256, dtype=np.float32) / np.float32(255)
        bounds = np.searchsorted(levels, below, side="right").astype(np.float64) - 1
    else:
        bounds = largest_in_float32(below, strict=False)
    return _ask_numbers(trees, bounds, [_name_place(place, shape) for place in range(trees.columns)])


def ask_numbers(trees: TreeArrays, names: Sequence[str] = ()) -> Questions:
    """Return trees as questions about rows of float64 numbers.

    Args:
        trees: one tree, or several.
        names: names of the columns; (): those of the trees, or their places.
    """
    given = list(map(str, names)) or list(trees.feature_names)
    given = given or [_name_place(place, (trees.columns,)) for place in range(trees.columns)]
    found = _ask_numbers(trees, trees.open_thresholds, given)
    return replace(found, if_missing=trees.missing_left, allows_missing=trees.allows_missing)


def _ask_numbers(trees: TreeArrays, bounds: Floats, names: Sequence[str]) -> Questions:
    is_leaf = trees.features == LEAF
    return Questions(
        tuple(TableColumn(name, "number") for name in names),
        trees,
        np.where(is_leaf, Question.NONE, Question.AT_MOST).astype(np.int8),
        np.where(is_leaf, 0, trees.features),
        bounds,
        np.zeros(len(is_leaf), bool),
        trees.left,
        trees.right,
        allows_missing=False,
    )


def largest_quantities(bounds: NDArray[np.float32], mean: Floats, std: Floats) -> Floats:
    """Return the largest float64 numbers x with float32((x - mean) / std) <= bound, found by bisection.

    >>> bound, mean, std = np.float32([0.1]), np.array([30.0]), np.array([7.0])
    >>> found = largest_quantities(bound, mean, std)
    >>> [bool(np.float32((x - 30) / 7) <= bound) for x in (found, np.nextafter(found, 99))]
    [True, False]
    """

    def as_floats(keys: NDArray[np.int64]) -> Floats:
        # float64 numbers in their order are these whole numbers in theirs
        return np.asarray(keys ^ ((keys >> 63) & np.int64(2**63 - 1)), np.int64).view(np.float64)

    greatest = int(np.array(np.inf).view(np.int64))
    low, high = np.full(len(bounds), -greatest - 1), np.full(len(bounds), greatest)
    while (low + 1 < high).any():
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        with np.errstate(over="ignore"):
            goes_left = ((as_floats(middle) - mean) / std).astype(np.float32) <= bounds
        low, high = np.where(goes_left, middle, low), np.where(goes_left, high, middle)
    return as_floats(low)


def _ask_cells(trees: TreeArrays, below: NDArray[np.float32], encoding: CellEncoding) -> Questions:
    is_leaf = trees.features == LEAF
    origins = [encoding.origins[max(feature, 0)] for feature in trees.features.tolist()]
    kinds = np.array([kind for kind, _, _ in origins])
    places = np.where(is_leaf, 0, np.array([place for _, place, _ in origins], np.int32)).astype(np.int32)
    is_quantity, zero = kinds == "quantity", below < 0  # whether 0 goes right
    asked = np.select(
        [is_leaf, is_quantity, kinds == "word"], [Question.NONE, Question.AT_MOST, Question.IS], Question.MISSING
    )
    bounds = np.array([code for _, _, code in origins])
    of = [encoding.columns[place] for place in places.tolist()]
    mean, std = np.array([one.mean for one in of]), np.array([one.std or 1.0 for one in of])
    bounds[is_quantity] = largest_quantities(below[is_quantity], mean[is_quantity], std[is_quantity])
    if_missing = np.where(is_quantity, ~zero, kinds == "missing")
    # a feature that is 0 or 1 goes right where it is 1, unless its threshold divides nothing
    swapped = ~is_quantity & ~is_leaf
    idle = swapped & (zero | (below >= 1))
    asked[idle], bounds[idle], if_missing[idle] = Question.AT_MOST, np.where(zero, -np.inf, np.inf)[idle], ~zero[idle]
    swapped &= ~idle
    yes, no = np.where(swapped, trees.right, trees.left), np.where(swapped, trees.left, trees.right)
    columns = tuple(one.column for one in encoding.columns)
    return Questions(columns, trees, asked.astype(np.int8), places, bounds, if_missing, yes, no, allows_missing=True)


def _tell_bound(bound: float, kind: str, exact: bool) -> str:
    number = repr(bound) if exact else f"{bound:.5g}" if abs(bound) < MAX_SHORTENED else f"{bound:.0f}"
    if kind != "date" or not abs(bound) < MAX_SECONDS:
        return number
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=bound)).strftime("%Y-%m-%d %H:%M:%S")
    return f"{day} ({number} seconds)" if exact else day


def _name_place(place: int, shape: Sequence[int]) -> str:
    return f"x[{', '.join(str(number) for number in np.unravel_index(place, tuple(shape)))}]"
