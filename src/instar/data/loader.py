"""Loading of batches, each a pure function of the step, so that a resumed run sees the same batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from instar.compute.allocator import MMAP_THRESHOLD_BYTES, freed_memory_kept
from instar.data.batch import Batch, Origin
from instar.data.columns.held import INPUTS
from instar.data.epochs import Epoch, side_by_side
from instar.data.placement import copy_to_device, gather_inputs, place_column, place_labels
from instar.data.samples import Samples
from instar.data.views.identity import Identity
from instar.data.views.mixing import Mixer, find_mixing
from instar.data.views.view import View
from instar.errors import MismatchError
from instar.seeds import Draws, derive, generator

MAX_PREFETCHED_BYTES = 32 << 20
"""Size of the inputs that an accelerator augments at once, for several coming batches.

Augmentation runs about a hundred operations. An accelerator processes thousands of samples in the time that a CPU needs
to launch one operation.
"""


@dataclass(frozen=True)
class _Order:
    """Ids of samples in order, on the device of the batches and on the host."""

    ids: Tensor
    on_host: Tensor


class Loader:
    """A loader of batches of augmented samples, each a pure function of the step.

    The seed determines a new order for each epoch. The view of epoch e is e, or e modulo `num_views`. All batches of an
    epoch are full except the last two, which share the remaining samples so that none is tiny. Inputs, labels and the
    order of an epoch are on the device, so that no step waits for it.

    Args:
        samples: training samples.
        batch_size: samples per batch.
        seed: seed of the order, and of the views if `view_seed` is None.
        views: augmentation.
        num_views: views per sample, used in turn; None: a new view each epoch.
        view_seed: seed of the views; runs with the same seed see the same views, each in its own order.
        device: device of the batches.
        partners: samples that a mixing view draws partners from; None: `samples`.

    Raises:
        MismatchError: when a view mixes samples that cannot be mixed.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        *,
        seed: int,
        views: View | None = None,
        num_views: int | None = None,
        view_seed: int | None = None,
        device: torch.device | str = "cpu",
        partners: Samples | None = None,
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.views = views or Identity()
        if isinstance(self.views, Identity):  # then the origin is the same for all seeds, and so are stored targets
            num_views, view_seed = 1, 0
        elif samples.source.raw_inputs:
            raise MismatchError(
                f"'{self.views}' changes pixels and numbers, and the inputs of '{samples.source.name}' are "
                f"{samples.source.raw_inputs[0].noun}; leave the views out."
            )
        self.num_views = num_views
        mixing = find_mixing(self.views)
        pool = None if mixing is None else partners or samples
        self.origin = Origin(samples, self.views, seed if view_seed is None else view_seed, num_views, pool)
        self._view_draws = derive(self.origin.seed, "views")
        self.device = torch.device(device)
        self._inputs = place_column(samples.source, INPUTS, self.device)
        self._is_near = self._inputs.device.type == self.device.type
        self._mixer: Mixer | None = None
        if mixing is not None and pool is not None:
            at = self.device if self._is_near else torch.device("cpu")
            self._mixer = Mixer(self.views, mixing, self._view_draws, pool, at)
        self._labels = place_labels(samples, self.device)
        self._in_order = _Order(copy_to_device(samples.ids, self.device), samples.ids)
        lengths = samples.source.lengths
        self._lengths = None if lengths is None else copy_to_device(lengths, self.device)
        has_loss = samples.source.mask
        self._has_loss = None if has_loss is None else copy_to_device(has_loss, self.device)
        self._order_of: tuple[int, _Order] = (-1, self._in_order)  # the last epoch that was asked for, and its order
        self._is_large = self._inputs[0].nbytes * batch_size > MMAP_THRESHOLD_BYTES
        self._ahead = 1
        if self._is_near and self.device.type != "cpu":
            self._ahead = max(1, MAX_PREFETCHED_BYTES // (self._inputs[0].nbytes * batch_size))
        self._made: tuple[range, Batch] | None = None  # steps that were augmented together, as one large batch

    @cached_property
    def epoch(self) -> Epoch:
        """Samples of an epoch in their order."""
        return self.samples.epoch(self.batch_size)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return -(-self.epoch.size // self.batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0 at the start of training."""
        at = step % self.steps_per_epoch
        if self._ahead == 1:
            # otherwise each batch of images costs a page fault per 4 KiB; small ones would not gain from it
            with freed_memory_kept() if self._is_large else nullcontext():
                return self._make_batches(step, at, at + 1)
        if self._made is None or step not in self._made[0]:
            self._made = None  # frees the memory before the next batches are made
            first = at - at % self._ahead
            stop = min(first + self._ahead, self.steps_per_epoch)  # the next epoch has another view and order
            start = step - at + first
            self._made = range(start, start + stop - first), self._make_batches(start, first, stop)
        steps, several = self._made
        begin = self._start_of(at - (step - steps.start))
        return replace(several.part(self._start_of(at) - begin, self._start_of(at + 1) - begin), step=step)

    def _make_batches(self, step: int, first: int, stop: int) -> Batch:
        epoch = step // self.steps_per_epoch
        if self._order_of[0] != epoch:
            # drawn on the CPU, so that it is the same for all devices
            self._order_of = epoch, self._ordered(self.epoch.order(generator(self.seed, "order", epoch)))
        return self._make_batch(
            self._order_of[1], slice(self._start_of(first), self._start_of(stop)), self.view_of(epoch), step
        )

    def _ordered(self, places: Tensor) -> _Order:
        order = copy_to_device(places, self.device)
        ids = self._in_order.ids.index_select(0, order)
        return _Order(ids, ids if self.device.type == "cpu" else self.samples.ids.index_select(0, places))

    def _start_of(self, at: int) -> int:
        # the index of the first sample of batch `at`; equal batches would cost more, because a matrix product of 255
        # rows takes up to 3% longer per row than one of 256
        full = max(0, self.steps_per_epoch - 2)
        if at <= full:
            return at * self.batch_size
        left = self.epoch.size - full * self.batch_size  # above one batch and up to two, or all of a single batch
        return self.epoch.size - (left // 2 if at < self.steps_per_epoch else 0)

    def view_of(self, epoch: int) -> int:
        """Return the number of the view in an epoch."""
        return epoch if self.num_views is None else epoch % self.num_views

    def in_order(self, view: int = 0, start: int = 0, stop: int | None = None, *, trim: bool = True) -> Iterator[Batch]:
        """Yield batches of the samples from `start` to `stop` in order, all in the same view.

        A stream is read in columns, so that each batch continues the one before. With `trim`, a batch is cut to its
        longest sample.
        """
        stop = len(self.samples) if stop is None else stop
        order, sizes = self._in_order, [min(self.batch_size, stop - at) for at in range(start, stop, self.batch_size)]
        if self.samples.source.task.is_stream:
            rows = side_by_side(start, stop, self.batch_size)
            order, sizes, start = self._ordered(torch.cat(rows)), list(map(len, rows)), 0  # the order begins at `start`
        for size in sizes:
            yield self._make_batch(order, slice(start, start + size), view, trim=trim)
            start += size

    def _make_batch(self, order: _Order, rows: slice, view: int, step: int = 0, *, trim: bool = True) -> Batch:
        ids, mask = order.ids[rows], None
        labels = self._gather_labels(ids, order.on_host[rows])
        places = ids if self._is_near else order.on_host[rows]
        inputs = self._gather(places)
        lengths = self.samples.source.lengths
        if lengths is not None and self._lengths is not None:
            # of the lengths on the host, because a shape that is computed on an accelerator has to be waited for
            least, most = (int(found) for found in lengths[order.on_host[rows]].aminmax())
            longest = most if trim else (labels if labels.dim() == 2 else inputs).shape[1]
            inputs = inputs[:, :longest] if inputs.dim() > 1 else inputs  # [batch, position, ...], or numbers of rows
            labels = labels[:, :longest] if labels.dim() == 2 else labels
            if least < longest and labels.dim() == 2:  # otherwise there is no mask, which spares every term its masking
                mask = torch.arange(longest, device=self.device) < self._lengths[ids][:, None]
        if self._has_loss is not None:
            has_loss = self._has_loss.index_select(0, ids)
            has_loss = has_loss[:, : labels.shape[1]] if labels.dim() == 2 else has_loss
            mask = has_loss if mask is None else mask & has_loss
        mixture, shown = None, None
        if self._mixer is None:
            draws = Draws(self._view_draws, ids, view, None if self._lengths is None else self._lengths[ids])
            inputs = self.views(inputs, draws)
            shown = self.views.shown_positions(labels.shape[1], draws) if labels.dim() == 2 else None
        else:
            inputs, mixture = self._mixer(inputs, ids, places, view, self._gather)
        if shown is not None:
            labels, mask = labels.gather(1, shown), None if mask is None else mask.gather(1, shown)
        return Batch(
            ids,
            view,
            inputs,
            labels,
            mask,
            step=step,
            seed=self.seed,
            origin=self.origin,
            order=order.on_host,
            place=rows.start,
            begins=rows.start == 0,
            mixture=mixture,
            shown=shown,
        )

    def _gather_labels(self, ids: Tensor, on_host: Tensor) -> Tensor:
        if self._labels.device.type == self.device.type:
            return self._labels.index_select(0, ids).long()
        return gather_inputs(self._labels, on_host, self.device).long()

    def _gather(self, places: Tensor) -> Tensor:
        return gather_inputs(self._inputs, places, self.device)
