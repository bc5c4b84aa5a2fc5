"""Batches: the samples of one training step, with all that the targets of a teacher depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from instar.compute.inputs import Inputs, move_inputs
from instar.data.columns.held import INPUTS, NUMBERS
from instar.data.columns.raw import RawColumn
from instar.data.columns.sounds import Sounds
from instar.data.placement import gather_inputs, place_column
from instar.data.samples import Samples
from instar.data.views.identity import Identity
from instar.data.views.mixing import Mixture
from instar.data.views.view import View
from instar.errors import MismatchError
from instar.seeds import Draws, derive

if TYPE_CHECKING:
    from instar.models.readers.reader import Reader


@dataclass(frozen=True)
class Origin:
    """The samples and views that batches are drawn from; an origin, an id and a view determine the pixels.

    Args:
        samples: samples that batches are drawn from.
        views: augmentation.
        seed: seed of the views; 0 if they draw no random numbers.
        num_views: views per sample, used in turn; None: a new view each epoch.
        partners: samples that the views mix with; None: they mix none.
    """

    samples: Samples
    views: View
    seed: int
    num_views: int | None
    partners: Samples | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """The samples of one training step.

    Args:
        ids: sample ids, int64 `[batch]`.
        view: number of the view, the same for the whole batch.
        inputs: augmented raw inputs, `[batch, ...]`.
        labels: int64 `[batch]` or `[batch, position]`; `UNLABELLED` marks a missing label.
        mask: bool in the shape of the labels: False beyond the end of a sample and where the source has no loss; None
            if all samples or positions are valid.
        step: training step, counted from 0.
        seed: seed of the run's random numbers per sample.
        origin: samples and views that the batch was drawn from.
        order: ids of all samples of the pass in their order, int64 `[samples]` on the host. Reading ids or looking
            ahead there does not wait for an accelerator.
        place: index in `order` where the batch starts.
        begins: whether it is the first batch of its pass, so that a recurrent network has no state yet.
        mixture: partners of the samples, if a view mixed them; None: each sample is only itself.
        shown: position of its sample that each position shows, int64 `[batch, position]`; None: its own.
        attention_mask: for terms of hidden layers, which positions of the student's inputs are no padding, `[batch,
            position]`; None: unknown.
        word_starts: for these terms, the place of the first token of each word that has a label, `[batch, words]`;
            None: labels are of whole samples, or at the positions of the inputs.
        position_ids: for these terms, the position of each token in its text where a sample has several texts,
            `[batch, position]`; None: it has one.
    """

    ids: Tensor
    view: int
    inputs: Tensor
    labels: Tensor
    mask: Tensor | None = None
    step: int = 0
    seed: int = 0
    origin: Origin | None = None
    order: Tensor | None = None
    place: int = 0
    begins: bool = False
    mixture: Mixture | None = None
    shown: Tensor | None = None
    attention_mask: Tensor | None = None
    word_starts: Tensor | None = None
    position_ids: Tensor | None = None
    _read: dict[Reader, Inputs] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of_labels(cls, labels: Tensor) -> Batch:
        """Return a batch with only labels, numbered from 0, which is enough for a loss term."""
        return cls(torch.arange(len(labels), device=labels.device), 0, labels, labels)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def host_ids(self) -> list[int]:
        """Sample ids on the host; does not wait for an accelerator if the order of the pass is known."""
        ids = self.ids if self.order is None else self.order[self.place : self.place + len(self)]
        found: list[int] = ids.tolist()
        return found

    @property
    def numbers(self) -> Tensor:
        """Labels that are numbers, float32 `[batch]`; NaN where there is none.

        Raises:
            DataError: when labels are classes.
            MismatchError: when the batch does not come from a loader, or mixes samples.
        """
        found: Tensor = self.column(NUMBERS)
        return found

    @property
    def weights(self) -> Tensor | None:
        """How many samples each one counts as, float32 `[batch]`; None: one."""
        weights = self.origin.samples.source.weights if self.origin else None
        return None if weights is None else weights[torch.tensor(self.host_ids)].float().to(self.ids.device)

    def read(self, reader: Reader) -> Inputs:
        """Return what a reader makes of its columns; readers of teacher and student that resize alike read once.

        Raises:
            DataError: when the data have no such column.
            MismatchError: when the reader cannot read it.
        """
        if reader not in self._read:
            self._read[reader] = reader.read(self.column, self._read)
        return self._read[reader]

    def column(self, name: str) -> Any:
        """Return a column of the samples, `[batch, ...]`, or rows of texts; "inputs" by name if they are several.

        Views change the inputs alone; of several, the first.

        Raises:
            DataError: when the data have no such column.
            MismatchError: when the batch does not come from a loader.
        """
        names = self.origin.samples.source.input_names if self.origin else ()
        if name == INPUTS:
            return {one: self._gather(one, names) for one in names} if names else self.inputs
        return self._gather(name, names)

    def _gather(self, name: str, names: tuple[str, ...]) -> Any:
        if self.origin is None:
            raise MismatchError(f"column '{name}' can only be read from batches of a Loader.")
        if self.mixture is not None and name not in names[:1]:
            raise MismatchError(
                f"the views mix the inputs of two samples, and column '{name}' is not mixed; leave out the mixing, "
                "or let the teacher read the inputs."
            )
        column = self.origin.samples.source.raw_column(name)
        if isinstance(column, RawColumn):
            on_host = self.ids if self.ids.device.type == "cpu" else torch.tensor(self.host_ids)
            return column.rows(self.ids, on_host, self.labels.shape[1] if self.labels.dim() == 2 else None)
        if isinstance(column, Sounds):
            return move_inputs(column.take(torch.tensor(self.host_ids)), self.ids.device)
        if name in names[:1]:  # the first of several inputs
            return self.inputs
        device = self.ids.device
        values = place_column(self.origin.samples.source, name, device)
        is_near = values.device.type == device.type
        found = gather_inputs(values, self.ids if is_near else torch.tensor(self.host_ids), device)
        if self.shown is not None:
            return found[torch.arange(len(self), device=device)[:, None], self.shown]
        # of samples with positions, a batch leaves out those at the end, and of padded inputs their common padding
        if self.labels.dim() == 2:
            return found[:, : self.labels.shape[1]]
        is_padded = name in names and self.origin.samples.source.lengths is not None
        return found[:, : self.inputs.shape[1]] if is_padded else found

    def examples(self) -> Batch:
        """Return each position as an example of its own, with the id (sample id) * positions + position.

        A batch of samples without positions is returned unchanged.
        """
        if self.labels.dim() == 1:
            return self
        positions = self.labels.shape[1]
        # a batch is cut to its longest sample, but an id must not depend on the other samples of its batch
        whole = self.origin.samples.source.positions if self.origin else None
        at = torch.arange(positions, device=self.ids.device)
        return replace(
            self,
            ids=(self.ids[:, None] * (whole or positions) + at).flatten(),  # [batch * position]
            # the rows of texts are found by their numbers, of which a sample has one
            inputs=self.inputs.flatten(0, 1) if self.inputs.dim() > 1 else self.inputs.repeat_interleave(positions),
            labels=self.labels.flatten(),
            mask=None if self.mask is None else self.mask.flatten(),
            origin=None,  # the ids are no longer those of its samples
            order=None,
            shown=None,
        )

    def count(self) -> int:
        """Return the number of valid samples or positions; does not wait for an accelerator if the source is known."""
        if self.mask is None:
            return self.labels.numel()
        mask = self._host_mask()
        return int(self.mask.sum() if mask is None else mask.sum())

    def valid(self) -> Tensor | None:
        """Return the indices of valid examples among all, int64 `[valid]`; None if all are valid."""
        if self.mask is None:
            return None
        mask = self._host_mask()
        if mask is None:
            return self.mask.flatten().nonzero().flatten()
        return mask.flatten().nonzero().flatten().to(self.mask.device, non_blocking=True)

    def _host_mask(self) -> Tensor | None:
        # made again from the source, because copying the mask of the batch would wait for an accelerator
        source = self.origin.samples.source if self.origin else None
        if source is None or self.mask is None or (self.shown is not None and source.mask is not None):
            return None  # a view that moves positions moves the mask of the source too
        ids = torch.tensor(self.host_ids)
        return source.valid(ids, self.mask.shape[1] if self.mask.dim() == 2 else None)

    def draws(self, name: str) -> Draws:
        """Return random numbers that are a pure function of (seed, name, sample, step)."""
        return Draws(derive(self.seed, name), self.ids, self.step)

    def part(self, start: int, stop: int) -> Batch:
        """Return rows start..stop."""
        if start == 0 and stop >= len(self):  # the same object: a batch that is not split costs nothing
            return self
        return self._at(slice(start, stop), place=self.place + start)

    def rows(self, index: Tensor) -> Batch:
        """Return the samples at `index`, without the order of the pass."""
        return self._at(index, order=None)

    def _at(self, rows: slice | Tensor, **changes: Any) -> Batch:
        return replace(
            self,
            ids=self.ids[rows],
            inputs=self.inputs[rows],
            labels=self.labels[rows],
            mask=None if self.mask is None else self.mask[rows],
            mixture=None if self.mixture is None else self.mixture.rows(rows),
            shown=None if self.shown is None else self.shown[rows],
            **changes,
        )

    def parts(self, number: int) -> Iterator[Batch]:
        """Yield at most `number` parts of nearly equal size, none of them empty."""
        edges = [len(self) * i // number for i in range(number + 1)]  # sizes differ by at most one
        return (self.part(a, b) for a, b in pairwise(edges) if b > a)


def given_inputs(batch: Batch) -> Tensor:
    """Return the exact inputs of a batch if the source rounded them to float32 and no view changed them.

    A decision tree may split between two float64 values that are equal in float32.
    """
    if batch.origin is None or not isinstance(batch.origin.views, Identity):
        return batch.inputs
    given = batch.origin.samples.source.given  # float64, on the host
    return batch.inputs if given is None else given[batch.ids.cpu()]
