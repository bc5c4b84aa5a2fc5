"""Decision trees as a network: rows go down all trees together, level by level, in tensors."""

from __future__ import annotations

from copy import copy
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from instar.errors import MismatchError
from instar.models.fitted import Fitted
from instar.models.outputs import is_tracing
from instar.trees.arrays import MIN_COMPILED_ROWS, Combination, Meaning, TreeArrays
from instar.trees.thresholds import LEAF

BLOCK_NODES = 16_384
"""Pairs of a row and a tree that go down together, few enough that a level stays in the cache of a core; rows of a
block of compiled code, which goes down one tree after the other."""


class TreeEnsemble(Fitted):
    """One tree or several, as buffers that pass the checks of `instar.trees.TreeArrays`; one output is a number.

    A row x goes left where x[compared] <= threshold, in float32. A row with a missing number (NaN) has logits that are
    NaN, as those of a network.

    Args:
        arguments: keyword arguments of the constructor, as JSON values.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.
    """

    combine: Combination = "sum"
    meaning: Meaning = "logits"

    # as in TreeArrays, where `compared` is called features, which a network has a method of
    compared: Tensor
    thresholds: Tensor
    left: Tensor
    right: Tensor
    values: Tensor
    roots: Tensor
    base: Tensor
    # made of the others, to go down fast
    _columns: Tensor
    _bounds: Tensor
    _children: Tensor

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make a tree of one leaf."""
        self.columns, self.num_classes = prod(input_shape), num_classes
        if num_classes == 1:  # one class would need no model
            self.meaning = "numbers"
        value = 1 / num_classes if self.meaning == "probabilities" else 0.0
        leaf = torch.full((1,), LEAF, dtype=torch.int32)
        self._register(TreeArrays(leaf, [0.0], leaf, leaf, [[value] * num_classes], [0], self.columns, **self._kind()))

    def _kind(self) -> dict[str, Any]:
        return {"combine": self.combine, "meaning": self.meaning}

    def _register(self, trees: TreeArrays) -> None:
        for name, array in _arrays_of(trees).items():
            self.register_buffer(name, torch.from_numpy(array.copy()))
        for name in ("_columns", "_bounds", "_children"):
            self.register_buffer(name, torch.zeros(0), persistent=False)
        self.check()

    @property
    def trees(self) -> TreeArrays:
        """The trees as arrays of their nodes.

        Raises:
            MismatchError: when the buffers are no trees.
        """
        arrays = {name: getattr(self, name).cpu().numpy() for name in _NAMES}
        compared, base = arrays.pop("compared"), arrays.pop("base")
        return TreeArrays(compared, columns=self.columns, base=base, **arrays, **self._kind())

    def take(self, trees: TreeArrays) -> None:
        """Become these trees, which have the columns, outputs and kind of the model."""
        self.fill({name: torch.from_numpy(array.copy()) for name, array in _arrays_of(trees).items()})

    def check(self) -> None:
        """Refuse buffers that are no trees, and make what a prediction reads of them.

        Raises:
            MismatchError: names the first node that is wrong.
        """
        trees = self.trees
        if trees.outputs != self.num_classes:
            raise MismatchError(
                f"the trees have {trees.outputs} outputs, and the model has {self.num_classes} classes."
            )
        self.depth, self.tree_count = int(trees.depths.max()), len(trees.roots)
        self._arrays = copy(trees)
        self._arrays.allows_missing = True  # their logits are NaN
        device, is_leaf = self.thresholds.device, self.compared == LEAF
        own = torch.arange(len(is_leaf), device=device)
        bounds = self.thresholds.float()
        # the largest float32 that is not above the threshold, so that float32 rows go where they would with float64
        below = torch.nextafter(bounds, torch.full_like(bounds, -torch.inf))
        bounds = torch.where(bounds.double() > self.thresholds, below, bounds)
        # a leaf leads to itself, so that all rows take as many steps
        self._columns = self.compared.long().clamp(min=0)
        self._bounds = bounds.masked_fill(is_leaf, torch.inf)
        both = [torch.where(is_leaf, own, side.long()) for side in (self.left, self.right)]
        self._children = torch.stack(both, 1).flatten()

    def apply_trees(self, inputs: Tensor, count: int | None = None) -> Tensor:
        """Return the leaf of each row in each tree, or in the first `count`, int64 `[batch, trees]`."""
        rows = inputs.flatten(1).float()
        at = self.roots[:count].long().expand(rows.shape[0], -1)
        for _ in range(self.depth):
            goes_right = rows.gather(1, self._columns[at]) > self._bounds[at]
            at = self._children[2 * at + goes_right]
        return at

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, classes]`, float32, of inputs `[batch, ...]`."""
        self._require_layers()
        rows = inputs.detach().flatten(1).float()
        if is_tracing():  # the graph would hold the number of blocks of one batch
            return self._predict(rows, is_compiled=False)
        is_compiled = rows.device.type == "cpu" and len(rows) >= MIN_COMPILED_ROWS
        size = BLOCK_NODES if is_compiled else max(1, BLOCK_NODES // self.tree_count)
        found = [self._predict(block, is_compiled=is_compiled) for block in rows.split(size)]
        return torch.cat(found) if len(found) != 1 else found[0]

    def _predict(self, rows: Tensor, *, is_compiled: bool) -> Tensor:
        leaves = torch.from_numpy(self._arrays.apply(rows.numpy())) if is_compiled else self.apply_trees(rows)
        is_single = self.tree_count == 1  # of which no sum is needed, which takes ten times as long
        found = self.values[leaves[:, 0]] if is_single else F.embedding_bag(leaves, self.values, mode=self.combine)
        total = found + self.base
        logits = total.log() if self.meaning == "probabilities" else total
        if is_compiled and not rows.min().isnan():  # which is NaN where any number is, and is found quickly
            return logits.float()
        return logits.masked_fill(rows.isnan().any(1, keepdim=True), torch.nan).float()

    def sizes(self) -> dict[str, int]:
        """Return the numbers of the trees, and how many trees and leaves there are, and their largest depth."""
        leaves = int((self.compared == LEAF).sum())
        # a column and a threshold of each split, and the values of each leaf
        numbers = 2 * (len(self.compared) - leaves) + leaves * self.num_classes
        return {"parameters": numbers, "trees": len(self.roots), "leaves": leaves, "depth": self.depth}


_NAMES = ("compared", "thresholds", "left", "right", "values", "roots", "base")


def _arrays_of(trees: TreeArrays) -> dict[str, NDArray[np.generic]]:
    return {name: getattr(trees, "features" if name == "compared" else name) for name in _NAMES}
