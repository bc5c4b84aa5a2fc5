"""Batches as a pure function of the step: resuming is asking for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from instar.data.samples import Samples
from instar.data.views import Identity, View
from instar.seeds import Draws, derive, generator

HELD_IN_MEMORY = 4 << 30
"""Inputs up to this many bytes are held on the training device; larger ones stay where the cache maps them."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What a step sees.

    Args:
        ids: sample ids, int64 `[batch]`.
        view: which view of them this is; the same number for the whole batch.
        inputs: `[batch, ...]`, as the source holds them, augmented.
        labels: int64 `[batch]` or `[batch, position]`, `UNLABELLED` where there is none.
        mask: bool `[batch, position]`, which positions are valid; none where a sample has no positions.
        step: of training, counted from 0.
        seed: of the run's random numbers about samples.
    """

    ids: Tensor
    view: int
    inputs: Tensor
    labels: Tensor
    mask: Tensor | None = None
    step: int = 0
    seed: int = 0

    @classmethod
    def of_labels(cls, labels: Tensor) -> Batch:
        """Return examples of which the labels alone are known, numbered from 0: enough for a term of a loss."""
        return cls(torch.arange(len(labels), device=labels.device), 0, labels, labels)

    def __len__(self) -> int:
        return len(self.ids)

    def count(self) -> int:
        """Return the number of examples: samples, or valid positions."""
        return len(self) if self.mask is None else int(self.mask.sum())

    def draws(self, name: str) -> Draws:
        """Return random numbers that are a function of (seed, name, sample, step)."""
        return Draws(derive(self.seed, name), self.ids, self.step)

    def part(self, start: int, stop: int) -> Batch:
        """Return rows start..stop."""
        mask = None if self.mask is None else self.mask[start:stop]
        rows = slice(start, stop)
        return replace(self, ids=self.ids[rows], inputs=self.inputs[rows], labels=self.labels[rows], mask=mask)

    def parts(self, number: int) -> Iterator[Batch]:
        """Return `number` parts of nearly equal size, none of them empty."""
        edges = [len(self) * i // number for i in range(number + 1)]
        return (self.part(a, b) for a, b in pairwise(edges) if b > a)


class Loader:
    """Batches of augmented samples, each a pure function of the step.

    The order of epoch e is a seeded permutation; its view is e, or e modulo `num_views`. All batches of an epoch are
    full but the last two, which share what is left, so that none is tiny.

    Args:
        samples: what to learn from.
        batch_size: the most samples in a batch.
        seed: of the order and of the views.
        views: the augmentation.
        num_views: views per sample that are used in turn; none: a new one each epoch.
        device: where batches are made.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        *,
        seed: int,
        views: View | None = None,
        num_views: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.views = views or Identity()
        self.num_views = 1 if isinstance(self.views, Identity) else num_views
        self.steps_per_epoch = -(-len(samples) // batch_size)
        self.device = torch.device(device)
        inputs = samples.source.inputs
        self._inputs = inputs.to(self.device) if inputs.nbytes <= HELD_IN_MEMORY else inputs
        self._order_of: tuple[int, Tensor] = (-1, torch.empty(0))

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0 at the start of training."""
        epoch, at = divmod(step, self.steps_per_epoch)
        if self._order_of[0] != epoch:
            self._order_of = epoch, torch.randperm(len(self.samples), generator=generator(self.seed, "order", epoch))
        rows = self._order_of[1][self._edge(at) : self._edge(at + 1)]
        return self._make(rows, self.view_of(epoch), step)

    def _edge(self, at: int) -> int:
        """Return where batch `at` of an epoch begins."""
        full = max(0, self.steps_per_epoch - 2)
        if at <= full:
            return at * self.batch_size
        left = len(self.samples) - full * self.batch_size
        return len(self.samples) - (left // 2 if at < self.steps_per_epoch else 0)

    def view_of(self, epoch: int) -> int:
        """Return which view an epoch shows."""
        return epoch if self.num_views is None else epoch % self.num_views

    def in_order(self, view: int = 0) -> Iterator[Batch]:
        """Go through the samples once, in order of id, all in the same view."""
        for rows in torch.arange(len(self.samples)).split(self.batch_size):
            yield self._make(rows, view)

    def _make(self, rows: Tensor, view: int, step: int = 0) -> Batch:
        ids = self.samples.ids[rows]
        # index_select copies whole samples, ten times as fast as the indexing of single elements by self._inputs[ids]
        inputs = self._inputs.index_select(0, ids.to(self._inputs.device)).to(self.device)
        labels, ids = self.samples.labels[rows].to(self.device), ids.to(self.device)
        seen = self.views(inputs, Draws(derive(self.seed, "views"), ids, view))
        return Batch(ids, view, seen, labels, step=step, seed=self.seed)
