"""Selections of the samples of a source, by id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.columns.held import Held
from instar.data.columns.raw import RawColumn
from instar.data.columns.sounds import Sounds
from instar.data.epochs import Balanced, Buckets, Epoch, HalfSpecial, Shuffled, StreamColumns
from instar.data.recordings import Recordings
from instar.data.source import Column, Source
from instar.data.stratified import draw_stratified
from instar.errors import DataError, nearest
from instar.seeds import generator

MAX_PART_LABELS = 1 << 20
"""Number of labels that are looked at together; those of a mapped text may not fit in memory."""


@dataclass(frozen=True, eq=False)
class Samples:
    """A selection of samples of a source, by id.

    Args:
        source: source of the samples.
        ids: sample ids, int64 `[n]`.
        own_labels: labels of these samples where they differ from those of the source, `[n]` or `[n, position]`, as
            hidden ones (`UNLABELLED`) do; None: the labels of the source.
        special: whether a sample belongs to the special half of each epoch, bool `[n]`; the other half is drawn from
            the rest. None: an epoch has each sample once.
        is_balanced: whether an epoch has each class equally often.

    >>> source = Source("four", torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    >>> samples = Samples.all_of(source)
    >>> samples.omit_classes(["b"]).ids.tolist()
    [0, 2]
    >>> samples.drop_labels(1.0, seed=0).labels.tolist()
    [-1, -1, -1, -1]
    """

    source: Source
    ids: Tensor
    own_labels: Tensor | None = None
    special: Tensor | None = None
    is_balanced: bool = False

    @classmethod
    def all_of(cls, source: Source) -> Samples:
        """Select all samples of a source."""
        return cls(source, torch.arange(len(source)))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> Tensor:
        """Labels, int64 `[n]` or `[n, position]`; those of a text take memory for all of it."""
        return (self.source.labels[self.ids] if self.own_labels is None else self.own_labels).long()

    def labels_by_id(self) -> Tensor:
        """Return labels by sample id, `[samples of the source, ...]`; meaningful for selected samples alone."""
        if self.own_labels is None:
            return self.source.labels
        return self.source.labels.index_copy(0, self.ids, self.own_labels.to(self.source.labels.dtype))

    @property
    def num_classes(self) -> int:
        """Number of classes of the source, including those without samples."""
        return len(self.source.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.source.inputs.shape[1:])

    def epoch(self, batch_size: int) -> Epoch:
        """Return the epoch of these samples.

        Raises:
            DataError: when a stream has fewer samples than a batch.
        """
        if self.special is not None:
            return HalfSpecial(self.special)
        if self.is_balanced:
            return Balanced(self.labels)
        if texts := self.source.input_texts:
            return Buckets(torch.stack([column.sizes[self.ids] for column in texts]).sum(0), batch_size)
        if self.source.is_bucketed and self.source.lengths is not None:
            return Buckets(self.source.lengths[self.ids], batch_size)
        if not self.source.task.is_stream:
            return Shuffled(len(self))
        if len(self) < batch_size:  # each row of a batch is a column of the stream, which needs a sample
            raise DataError(
                f"'{self.source.name}' has {len(self)} windows, fewer than a batch ({batch_size}); lower batch_size."
            )
        return StreamColumns(len(self), batch_size)

    def places(self, ids: Tensor) -> Tensor:
        """Return the indices of samples in this selection by id, int64 in the shape of `ids`; all must be selected."""
        known, order = self._by_id
        return order[torch.searchsorted(known, ids)]

    @cached_property
    def _by_id(self) -> tuple[Tensor, Tensor]:  # cached, because every batch of an evaluation needs it
        known, order = self.ids.sort()
        return known, order

    def inputs(self) -> Tensor:
        """Return the inputs, `[n, ...]`."""
        return self.source.inputs[self.ids]

    def column(self, name: str) -> Tensor:
        """Return the values of a column, `[n, ...]`.

        Raises:
            DataError: when the source has no such column.
        """
        return self.source.column(name)[self.ids]

    def judged_labels(self) -> Tensor:
        """Return the labels to evaluate: `UNLABELLED` where there is no label or no loss."""
        mask = self.source.mask
        return self.labels if mask is None else torch.where(mask[self.ids], self.labels, UNLABELLED)

    def parts(self) -> Iterator[Samples]:
        """Yield these samples in parts, in order, with at most `MAX_PART_LABELS` labels each."""
        rows = max(1, MAX_PART_LABELS // max(1, self.source.labels[0].numel()))
        return (self.select(slice(start, start + rows)) for start in range(0, len(self), rows))

    def count_labels(self) -> Tensor:
        """Return the number of valid samples or positions of each class, and last those without a label.

        Labels without a loss count as none. int64 `[classes + 1]`.
        """

        def count() -> dict[str, Tensor]:
            counts = torch.zeros(self.num_classes + 1, dtype=torch.int64)
            for part in self.parts():
                labels, lengths = part.judged_labels(), self.source.label_lengths
                if lengths is not None:
                    labels = labels[torch.arange(labels.shape[1]) < lengths[part.ids][:, None]]
                counts += (labels.flatten() + 1).bincount(minlength=len(counts))
            return {"counts": counts.roll(-1)}  # UNLABELLED is -1

        is_plain = self.own_labels is None and self.source.mask is None
        found = self.source.keep_of_labels("label-counts-1", {"ids": self.ids}, count) if is_plain else count()
        return found["counts"]

    def as_source(self, name: str) -> Source:
        """Return these samples as a new source, numbered from 0, with their labels in this selection."""
        old = self.source
        optional = {"lengths": old.lengths, "mask": old.mask, "weights": old.weights, "given": old.given}
        chosen: dict[str, Any] = {
            field: None if tensor is None else tensor[self.ids] for field, tensor in optional.items()
        }
        chosen_rows = {name: _choose_rows(column, self.ids) for name, column in old.columns.items()}
        columns = {name: column for name, column in chosen_rows.items() if column is not None}
        inputs = torch.arange(len(self)) if old.raw_inputs else self.inputs()  # which are found by their row
        # `whole` and the sound of recordings are numbered as the old source is
        return replace(old, name=name, inputs=inputs, labels=self.labels, whole=None, columns=columns, **chosen)

    def move(self, source: Source, new: Tensor) -> Samples:
        """Return these samples of a source whose classes have other numbers.

        Args:
            source: the same samples with their new classes.
            new: the new number of each class, and `UNLABELLED` at the end.
        """
        return replace(self, source=source, own_labels=None if self.own_labels is None else new[self.own_labels])

    def select(self, positions: Tensor | slice) -> Samples:
        """Return the samples at `positions` (indices, a mask or a range).

        Raises:
            DataError: when no sample is left.
        """
        special = None if self.special is None else self.special[positions]
        own_labels = None if self.own_labels is None else self.own_labels[positions]
        chosen = replace(self, ids=self.ids[positions], own_labels=own_labels, special=special)
        if len(chosen) == 0:
            raise DataError(f"no samples of '{self.source.name}' are left after the selection.")
        return chosen

    def split(self, share: float, seed: int, *, stratified: bool = False) -> tuple[Samples, Samples]:
        """Split at random into (rest, share), both in order of id; the share of a stream is its end.

        Stratified, both have the share of each class, and each class with two samples is in both.
        """
        count = round(share * len(self))
        if stratified:
            self._refuse_positions("split by class")
            drawn = torch.zeros(len(self), dtype=torch.bool)
            drawn[draw_stratified(self.labels, count, generator(seed, "split"), least_left=1)] = True
            return self.select(~drawn), self.select(drawn)
        if self.source.task.is_stream:  # windows that are drawn at random would not continue each other
            return self.select(slice(len(self) - count)), self.select(slice(len(self) - count, None))
        order = torch.randperm(len(self), generator=generator(seed, "split"))
        return self.select(order[count:].sort().values), self.select(order[:count].sort().values)

    def subset(self, count: int, seed: int, *, stratified: bool = False) -> Samples:
        """Return `count` random samples in order of id, with the share of each class; the first ones of a stream."""
        if count > len(self):
            raise DataError(f"'subset' must be at most the {len(self)} samples of '{self.source.name}', got {count}.")
        if stratified:
            self._refuse_positions("drawn by class")
            return self.select(draw_stratified(self.labels, count, generator(seed, "subset")))
        if self.source.task.is_stream:
            return self.select(slice(count))
        return self.select(torch.randperm(len(self), generator=generator(seed, "subset"))[:count].sort().values)

    def keep_fraction(self, share: float, seed: int, *, stratified: bool = False) -> Samples:
        """Return a random share of the samples, at least one."""
        return self if share == 1 else self.subset(max(1, round(share * len(self))), seed, stratified=stratified)

    def balance(self) -> Samples:
        """Return the same samples, of which an epoch has each class equally often.

        Raises:
            DataError: when labels are at positions or missing, or special classes make up half of each epoch.
        """
        self._refuse_positions("drawn by class")
        if (missing := int((self.judged_labels() == UNLABELLED).sum())) > 0:
            raise DataError(
                f"balanced epochs draw each class equally often, and {missing:,} training samples of "
                f"'{self.source.name}' have no label; leave data.balanced out."
            )
        return replace(self, is_balanced=True)

    def omit_classes(self, names: list[str]) -> Samples:
        """Return the samples of all other classes."""
        return self.select(~self.of_classes(names))

    def keep_classes(self, names: list[str]) -> Samples:
        """Return only the samples of these classes."""
        return self.select(self.of_classes(names))

    def of_classes(self, names: list[str]) -> Tensor:
        """Return whether each sample has one of these classes, bool `[n]`.

        Raises:
            DataError: when a class is unknown, or labels are at positions, so that a sample has no class.
        """
        self._refuse_positions("chosen by class")
        return torch.isin(self.labels, self.class_indices(names))

    def _refuse_positions(self, what: str) -> None:
        if self.source.positions is not None or self.source.task.is_stream:
            raise DataError(f"samples of '{self.source.name}' have labels at positions, so they cannot be {what}.")

    def drop_labels(self, share: float, seed: int) -> Samples:
        """Hide a random share of the labels, for a transfer set with few or no labels."""
        hidden = torch.randperm(len(self), generator=generator(seed, "labels"))[: round(share * len(self))]
        labels = self.labels.clone()
        labels[hidden] = UNLABELLED
        return replace(self, own_labels=labels)

    def class_indices(self, names: list[str]) -> Tensor:
        """Return the numbers of classes given by name.

        Raises:
            DataError: when a name is unknown; suggests the nearest known one.
        """
        known = {name: index for index, name in enumerate(self.source.classes)}
        for name in names:
            if name not in known:
                raise DataError(f"class '{name}' is not in '{self.source.name}'; {nearest(name, known)}")
        return torch.tensor([known[name] for name in names])


def _choose_rows(column: Column | Recordings, ids: Tensor) -> Column | None:
    if isinstance(column, Held):
        return Held(column.take(ids), None if column.exact is None else column.exact[ids])
    if isinstance(column, RawColumn):
        return column.take(ids)
    return column.select(ids) if isinstance(column, Sounds) else None


def is_labelled(samples: Samples | None) -> bool:
    """Return whether any label has a loss; a transfer set may have none, and what is set aside from it neither."""
    parts = () if samples is None else samples.parts()
    return any(bool((part.judged_labels() != UNLABELLED).any()) for part in parts)
