"""Samples with ids that last for life: what a source holds, and selections of it.

A `Source` numbers its samples 0..N-1 and never changes. `Samples` names some of them by id. Everything that is stored
about a sample, from targets to predictions, is keyed by its id in its source, never by a position in an epoch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from instar.errors import DataError, nearest
from instar.seeds import generator

UNLABELLED = -1
"""The label of a sample that has none."""


@dataclass(frozen=True, eq=False)
class Source:
    """A numbered set of inputs and labels.

    Args:
        name: where it came from, with the split, for people.
        inputs: `[samples, ...]`; uint8 holds pixels 0..255, which models see as 0..1; floats are seen as they are.
        labels: int64 `[samples]`, in [0, classes) or `UNLABELLED`.
        classes: the names of the classes.
        whole: what it was made from, where some of its classes are one.

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

    def __post_init__(self) -> None:
        if len(self.inputs) == 0:
            raise DataError(f"'{self.name}' holds no samples.")
        if len(self.inputs) != len(self.labels):
            raise DataError(f"'{self.name}' has {len(self.inputs)} inputs and {len(self.labels)} labels.")
        outside = ((self.labels < UNLABELLED) | (self.labels >= len(self.classes))).nonzero()
        if len(outside):
            at = int(outside[0, 0])
            raise DataError(
                f"labels of '{self.name}' must be from 0 to {len(self.classes) - 1} ({len(self.classes)} classes), "
                f"or -1 for none; found {int(self.labels[at])} at sample {at}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def fingerprint(self) -> str:
        """Return a hash of the content: shapes, dtypes, every input, every label, and the names of the classes."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # reads everything, and the content never changes
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([list(self.inputs.shape), str(self.inputs.dtype), self.classes]).encode())
        for tensor in (self.inputs, self.labels):
            for part in tensor.split(65536):
                digest.update(part.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Samples:
    """Some samples of a source, by id.

    Args:
        source: where they are.
        ids: int64 `[n]`, ids in the source.
        labels: int64 `[n]`, `UNLABELLED` where the label is not to be used.
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

    @property
    def per_epoch(self) -> int:
        """The number of samples in an epoch."""
        return len(self) if self.special is None else 2 * int(self.special.sum())

    def order(self, generator: torch.Generator) -> Tensor:
        """Return positions of the samples of an epoch, int64 `[per_epoch]`, in random order.

        Special samples are there once each, and as many of the rest, none a second time before all were there once.
        """
        if self.special is None:
            return torch.randperm(len(self), generator=generator)
        special, rest = self.special.nonzero()[:, 0], (~self.special).nonzero()[:, 0]
        rounds = -(-len(special) // len(rest))
        drawn = torch.cat([torch.randperm(len(rest), generator=generator) for _ in range(rounds)])[: len(special)]
        both = torch.cat([special, rest[drawn]])
        return both[torch.randperm(len(both), generator=generator)]

    def inputs(self) -> Tensor:
        """Return the inputs, `[n, ...]`."""
        return self.source.inputs[self.ids]

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
        """Return (rest, share): a seeded random split, kept in order of id."""
        count = round(share * len(self))
        order = torch.randperm(len(self), generator=generator(seed, "split"))
        return self.select(order[count:].sort().values), self.select(order[:count].sort().values)

    def subset(self, count: int, seed: int) -> Samples:
        """Return `count` random samples, kept in order of id."""
        if count > len(self):
            raise DataError(f"'subset' must be at most the {len(self)} samples of '{self.source.name}', got {count}.")
        return self.select(torch.randperm(len(self), generator=generator(seed, "subset"))[:count].sort().values)

    def keep_fraction(self, share: float, seed: int) -> Samples:
        """Return a random share of the samples, at least one."""
        return self if share == 1 else self.subset(max(1, round(share * len(self))), seed)

    def omit_classes(self, names: list[str]) -> Samples:
        """Return the samples of all other classes."""
        return self.select(~torch.isin(self.labels, self.class_indices(names)))

    def keep_classes(self, names: list[str]) -> Samples:
        """Return the samples of these classes alone."""
        return self.select(torch.isin(self.labels, self.class_indices(names)))

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
