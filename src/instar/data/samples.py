"""Samples with ids that last for life: what a source holds, and selections of it.

A `Source` numbers its samples 0..N-1 and never changes. `Samples` names some of them by id. Everything that is stored
about a sample, from targets to predictions, is keyed by its id in its source, never by a position in an epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.epochs import Epoch, HalfSpecial, Shuffled, StreamColumns
from instar.data.recordings import Recordings
from instar.errors import DataError, nearest
from instar.seeds import generator
from instar.tasks.classification import Classification
from instar.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Source:
    """A numbered set of inputs and labels.

    A sample may have positions, such as the words of a text or the frames of a recording, each with a label.

    Args:
        name: where it came from, with the split, for people.
        inputs: `[samples, ...]`; uint8 holds pixels 0..255, which models see as 0..1; floats are seen as they are, and
            so are other whole numbers, which are tokens.
        labels: int64 `[samples]` or `[samples, position]`, in [0, classes) or `UNLABELLED`.
        classes: the names of the classes.
        whole: what it was made from, where some of its classes are one.
        lengths: int64 `[samples]`, how many positions of each are valid, the first ones; none: all are.
        task: what the labels mean; no part of the content.
        columns: what else is known of each sample, by name, such as the sound of recordings; no part of the content.
        given: the inputs as they were given, `[samples, ...]`, where `inputs` are rounded; no part of the content.
        mask: bool in the shape of the labels, false where there is no loss: whatever a label or a teacher says there is
            neither learnt nor judged; none: there is one everywhere. A position beyond `lengths` has no loss either.
        reading: how inputs and labels were found and read, for people; no part of the content.

    Raises:
        DataError: when lengths differ, there are no samples, or a label is outside the classes.

    >>> Source("two", torch.zeros(2, 3), torch.tensor([0, 7]), ("a", "b"))
    Traceback (most recent call last):
    instar.errors.DataError: labels of 'two' must be from 0 to 1 (2 classes), or -1 for none; found 7 at sample 1.
    """

    name: str
    inputs: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    whole: Source | None = None
    lengths: Tensor | None = None
    task: Task = field(default_factory=Classification)
    columns: Mapping[str, Recordings] = field(default_factory=dict)
    given: Tensor | None = None
    mask: Tensor | None = None
    reading: str = ""

    def __post_init__(self) -> None:
        if len(self.inputs) == 0:
            raise DataError(f"'{self.name}' holds no samples.")
        if len(self.inputs) != len(self.labels):
            raise DataError(f"'{self.name}' has {len(self.inputs)} inputs and {len(self.labels)} labels.")
        if self.lengths is not None and (self.labels.dim() != 2 or len(self.lengths) != len(self)):
            raise DataError(f"lengths of '{self.name}' must be one number for each sample with positions.")
        if problem := self.task.find_problem(self.labels, self.classes):
            raise DataError(f"classes of '{self.name}' must be {problem}.")
        for name, column in self.columns.items():
            if len(column) != len(self):
                raise DataError(f"'{self.name}' has {len(self)} inputs and {len(column)} {name}s.")
        if self.mask is not None and (self.mask.shape != self.labels.shape or self.mask.dtype != torch.bool):
            found = f"{self.mask.dtype} of shape {list(self.mask.shape)}"
            raise DataError(f"the mask of '{self.name}' must be bool of shape {list(self.labels.shape)}, got {found}.")
        outside = ((self.labels < UNLABELLED) | (self.labels >= len(self.classes))).nonzero()
        if len(outside):
            at = int(outside[0, 0])
            raise DataError(
                f"labels of '{self.name}' must be from 0 to {len(self.classes) - 1} ({len(self.classes)} classes), "
                f"or -1 for none; found {int(self.labels[tuple(outside[0])])} at sample {at}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def positions(self) -> int | None:
        """The most positions of a sample; none where samples have none."""
        return self.labels.shape[1] if self.labels.dim() == 2 else None

    def valid(self, ids: Tensor, longest: int | None = None) -> Tensor | None:
        """Return which of the first `longest` positions of some samples, or which of these, have a loss; none: all.

        Args:
            ids: int64 `[n]`.
            longest: positions; none: all.

        Returns:
            bool `[n]` or `[n, position]`.
        """
        if self.mask is None and self.lengths is None:
            return None
        mask = None if self.mask is None else self.mask[ids]
        if mask is not None and mask.dim() == 2:
            mask = mask[:, :longest]
        if self.lengths is None:
            return mask
        valid = torch.arange(longest or self.labels.shape[1]) < self.lengths[ids][:, None]
        return valid if mask is None else valid & mask

    def fingerprint(self) -> str:
        """Return a hash of the content: shapes, dtypes, inputs, labels, lengths, mask and the names of the classes."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # reads everything, and the content never changes
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([list(self.inputs.shape), str(self.inputs.dtype), self.classes]).encode())
        for tensor in (self.inputs, self.labels, self.lengths, self.mask):
            if tensor is None:
                continue
            for part in tensor.split(65536):
                digest.update(part.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Samples:
    """Some samples of a source, by id.

    Args:
        source: where they are.
        ids: int64 `[n]`, ids in the source.
        labels: int64 `[n]` or `[n, position]`, `UNLABELLED` where the label is not to be used.
        special: bool `[n]`, those that are half of every epoch, beside as many that are drawn from the rest; none: an
            epoch has all samples once.

    >>> source = Source("four", torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    >>> samples = Samples.all_of(source)
    >>> samples.omit_classes(["b"]).ids.tolist()
    [0, 2]
    >>> samples.drop_labels(1.0, seed=0).labels.tolist()
    [-1, -1, -1, -1]
    """

    source: Source
    ids: Tensor
    labels: Tensor
    special: Tensor | None = None

    @classmethod
    def all_of(cls, source: Source) -> Samples:
        """Select every sample."""
        return cls(source, torch.arange(len(source)), source.labels)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        """The number of classes of the source, whether or not all occur."""
        return len(self.source.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.source.inputs.shape[1:])

    def epoch(self, batch_size: int) -> Epoch:
        """Return what an epoch of these samples is.

        Raises:
            DataError: when a stream is too short for a batch.
        """
        if self.special is not None:
            return HalfSpecial(self.special)
        if not self.source.task.is_stream:
            return Shuffled(len(self))
        if len(self) < batch_size:
            raise DataError(
                f"'{self.source.name}' has {len(self)} windows, too few to read {batch_size} at once; lower batch_size."
            )
        return StreamColumns(len(self), batch_size)

    def places(self, ids: Tensor) -> Tensor:
        """Return where samples stand among these, by their ids, int64 like `ids`; all of them must be here."""
        known, order = self._by_id
        return order[torch.searchsorted(known, ids)]

    @cached_property
    def _by_id(self) -> tuple[Tensor, Tensor]:
        known, order = self.ids.sort()
        return known, order

    def inputs(self) -> Tensor:
        """Return the inputs, `[n, ...]`."""
        return self.source.inputs[self.ids]

    def judged_labels(self) -> Tensor:
        """Return the labels, `UNLABELLED` also where there is no loss: those that scores are about."""
        mask = self.source.mask
        return self.labels if mask is None else torch.where(mask[self.ids], self.labels, UNLABELLED)

    def apart(self, name: str) -> Source:
        """Return these samples as a source of their own, numbered from 0, with the labels that they have here."""
        old = self.source
        found = (old.lengths, old.mask, old.given)
        lengths, mask, given = (None if tensor is None else tensor[self.ids] for tensor in found)
        chosen = replace(
            old, name=name, inputs=self.inputs(), labels=self.labels, lengths=lengths, mask=mask, given=given
        )
        return replace(chosen, whole=None, columns={})

    def select(self, positions: Tensor) -> Samples:
        """Return the samples at `positions` (indices or a mask).

        Raises:
            DataError: when none is left.
        """
        special = None if self.special is None else self.special[positions]
        chosen = replace(self, ids=self.ids[positions], labels=self.labels[positions], special=special)
        if len(chosen) == 0:
            raise DataError(f"no samples of '{self.source.name}' are left after the selection.")
        return chosen

    def split(self, share: float, seed: int) -> tuple[Samples, Samples]:
        """Return (rest, share): a seeded random split, kept in order of id; of a stream the share is its end."""
        count = round(share * len(self))
        if self.source.task.is_stream:
            places = torch.arange(len(self))
            return self.select(places[: len(self) - count]), self.select(places[len(self) - count :])
        order = torch.randperm(len(self), generator=generator(seed, "split"))
        return self.select(order[count:].sort().values), self.select(order[:count].sort().values)

    def subset(self, count: int, seed: int) -> Samples:
        """Return `count` random samples, kept in order of id; of a stream the first."""
        if count > len(self):
            raise DataError(f"'subset' must be at most the {len(self)} samples of '{self.source.name}', got {count}.")
        if self.source.task.is_stream:
            return self.select(torch.arange(count))
        return self.select(torch.randperm(len(self), generator=generator(seed, "subset"))[:count].sort().values)

    def keep_fraction(self, share: float, seed: int) -> Samples:
        """Return a random share of the samples, at least one."""
        return self if share == 1 else self.subset(max(1, round(share * len(self))), seed)

    def omit_classes(self, names: list[str]) -> Samples:
        """Return the samples of all other classes."""
        return self.select(~self.of_classes(names))

    def keep_classes(self, names: list[str]) -> Samples:
        """Return the samples of these classes alone."""
        return self.select(self.of_classes(names))

    def of_classes(self, names: list[str]) -> Tensor:
        """Return which samples have one of these classes, bool `[n]`.

        Raises:
            DataError: for an unknown class, or samples with positions, which have no class as a whole.
        """
        if self.source.positions is not None:
            raise DataError(f"samples of '{self.source.name}' have a class at every position, and none as a whole.")
        return torch.isin(self.labels, self.class_indices(names))

    def drop_labels(self, share: float, seed: int) -> Samples:
        """Hide a random share of the labels: a transfer set that is unlabelled, or partly."""
        hidden = torch.randperm(len(self), generator=generator(seed, "labels"))[: round(share * len(self))]
        labels = self.labels.clone()
        labels[hidden] = UNLABELLED
        return replace(self, labels=labels)

    def class_indices(self, names: list[str]) -> Tensor:
        """Return the indices of classes given by name.

        Raises:
            DataError: for an unknown name, with the nearest known one.
        """
        known = {name: index for index, name in enumerate(self.source.classes)}
        for name in names:
            if name not in known:
                raise DataError(f"class '{name}' is not in '{self.source.name}'; {nearest(name, known)}")
        return torch.tensor([known[name] for name in names])


def is_labelled(samples: Samples | None) -> bool:
    """Return whether any label has a loss; a transfer set may have none, and what is set aside from it neither."""
    return samples is not None and bool((samples.judged_labels() != UNLABELLED).any())
