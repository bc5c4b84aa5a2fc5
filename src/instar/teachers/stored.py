"""A target store as a teacher of the samples and views that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instar.data.batch import Batch, Origin
from instar.data.samples import Samples
from instar.data.views.identity import Identity
from instar.errors import MismatchError
from instar.importing import without_modules
from instar.models.named_layers import LayerNames, find_stages, quote_names
from instar.targets.answer import Answer
from instar.targets.manifest import describe_views
from instar.targets.store import TargetStore
from instar.targets.stored_part import StoredPart
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher, drop_positions

MAX_CHECKED_BYTES = 1 << 30
"""Size up to which a store is compared with its checksums when it is opened, which takes up to a second."""

MAX_HASHED_TEXTS = 64
"""Samples whose tokens are hashed, to compare what teacher and student read."""

NUM_COMPARED = 4
"""Number of comparisons of a store's part with a loader: classes, source, samples and views."""

LOOKAHEAD_BYTES = 1 << 20
"""Bytes of targets that are looked up at once on a CPU; they stay in its cache."""

ACCELERATOR_LOOKAHEAD_BYTES = 32 << 20
"""Bytes of targets that are looked up at once for an accelerator."""


# batch by batch, dense targets cost an MNIST step 142 us more than labels; many batches at once, 101 us
class _Lookahead:
    """Targets of the samples from `start` to `stop` of an order, split into those of the coming batches."""

    def __init__(self, batch: Batch, stop: int, targets: Targets) -> None:
        self.order, self.view, self.start, self.stop, self.targets = batch.order, batch.view, batch.place, stop, targets
        size = len(batch)
        starts = range(0, stop - batch.place - size + 1, size)
        # parts share what is computed for the whole, such as its softened probabilities
        self._parts = {(batch.place + start, size): targets.part(start, start + size) for start in starts}

    def find(self, batch: Batch) -> Targets | None:
        # by identity: each epoch makes an order of its own
        if batch.order is not self.order or batch.view != self.view:
            return None
        found = self._parts.get((batch.place, len(batch)))
        # of another size than the first: one of the last two batches, or a micro-batch
        if found is None and self.start <= batch.place and batch.place + len(batch) <= self.stop:
            start = batch.place - self.start
            found = self.targets.part(start, start + len(batch))
        return found


class StoredLayers(LayerNames):
    """The layers whose outputs a target store keeps."""

    def suggest(self, pattern: str) -> str:
        """Return what to do about a pattern that matches nothing, as a clause."""
        return (
            f"it keeps {quote_names(self.names)}; label again with it (--features), or give the network that labelled "
            "the store as the teacher"
        )


class Stored(Teacher):
    """The targets of a target store, looked up by (id, view), and the outputs of layers where it keeps some.

    Args:
        store: the store, or its folder.
        lookahead_bytes: bytes of targets of the coming batches that are looked up at once; None: the device's default.

    Raises:
        StoreError: when the store is not complete, is damaged, or has a newer format.
    """

    def __init__(self, store: TargetStore | str | Path, *, lookahead_bytes: int | None = None) -> None:
        self.store = store if isinstance(store, TargetStore) else TargetStore(store)
        self._parts = {name: self.store.part(name) for name in self.store.manifest.parts}
        if sum(part.records.numel() for part in self._parts.values()) <= MAX_CHECKED_BYTES:
            self.store.check()
        self._current: tuple[Origin | None, StoredPart | None] = (None, None)
        self._ahead: _Lookahead | None = None
        self._lookahead_bytes = lookahead_bytes

    without_layers = (
        "keeps predictions alone; label again with --features, or give the network that labelled the store as the "
        "teacher"
    )

    def layers(self) -> LayerNames | None:
        """Return the layers that the store keeps for the training samples; None if it keeps none."""
        names = tuple(self.store.layers())
        return StoredLayers(names, find_stages(names), f"the target store '{self.store.path}'") if names else None

    def answer(self, batch: Batch, features: Sequence[str] = ()) -> Answer:
        """Return the stored targets of the batch, and outputs of layers, float32 `[batch, ...]` by name.

        Raises:
            MismatchError: when the store has none for these samples, views and layers; says what it has.
        """
        targets = self.targets(batch)
        if not features:
            return Answer(targets)
        part = self._find_part(batch)
        if not part.part.layers:
            raise MismatchError(f"hidden layers were asked for, and {self.describe_lack()}.")
        # in the order of the pass, so that nothing waits for an accelerator
        start = batch.place
        ids = batch.ids.cpu() if batch.order is None else batch.order[start : start + len(batch)]
        # a loader cuts inputs to the longest sample of the batch; of texts it has only rows
        positions = batch.inputs.shape[1] if batch.inputs.dim() > 1 else None
        return Answer(targets, part.features(ids, batch.view, features, batch.ids.device, positions))

    def few_texts(self) -> tuple[Tensor, dict[str, str]]:
        """Return the ids of a few training samples, and hashes of what the teacher read of them by name."""
        part = next(iter(self._parts.values()))
        ids = torch.arange(part.part.samples) if part.ids is None else part.ids
        return ids[:MAX_HASHED_TEXTS], part.part.tokens

    def _find_part(self, batch: Batch) -> StoredPart:
        origin, part = self._current
        # all batches of an origin have its samples and views, so they are compared once and not in every step
        if origin is not batch.origin or part is None:
            part = self._choose_part(batch.origin)
            self._current, self._ahead = (batch.origin, part), None
        return part

    def targets(self, batch: Batch) -> Targets:
        """Return the stored targets of the batch.

        Raises:
            MismatchError: when it has other samples, views or classes than the store; names both.
        """
        part = self._find_part(batch)
        if batch.order is None:  # some samples of a batch, such as those of a specialist
            return drop_positions(part.targets(batch.ids.cpu(), batch.view, batch.ids.device), batch)
        found = self._ahead.find(batch) if self._ahead else None
        if found is None:
            is_cpu = batch.ids.device.type == "cpu"
            ahead = self._lookahead_bytes or (LOOKAHEAD_BYTES if is_cpu else ACCELERATOR_LOOKAHEAD_BYTES)
            until = batch.place + max(len(batch), ahead // part.decoded_bytes)
            ids = batch.order[batch.place : until]  # on the host, so nothing waits for an accelerator
            targets = part.targets(ids, batch.view, batch.ids.device)
            self._ahead = _Lookahead(batch, batch.place + len(ids), targets)
            found = self._ahead.find(batch)
            assert found is not None, "the batch is the first of those that were looked up"
        return drop_positions(found, batch)

    def _choose_part(self, origin: Origin | None) -> StoredPart:
        if origin is None:
            raise MismatchError(f"the target store '{self.store.path}' can only be queried with batches of a Loader.")
        # the error is about the part that agrees in most respects: a test split is no training set with other samples
        agreement, sentence, part = max(
            ((*self._agreement(p, origin), p) for p in self._parts.values()), key=itemgetter(0)
        )
        if agreement < NUM_COMPARED:
            raise MismatchError(sentence)
        return part

    def _agreement(self, stored: StoredPart, origin: Origin) -> tuple[int, str]:
        """Return how many comparisons a part and an origin pass, and a sentence about the first difference."""
        part, source, store = stored.part, origin.samples.source, f"the target store '{self.store.path}'"
        classes = self.store.manifest.classes
        if classes != source.classes:
            return 0, f"{store} has {_named(classes)}, and '{source.name}' has {_named(source.classes)}."
        if part.fingerprint != source.fingerprint():
            return 1, (
                f"{store} was made from '{part.source}' (fingerprint {part.fingerprint[:8]}), and the data are "
                f"'{source.name}' ({source.fingerprint()[:8]})."
            )
        unknown = stored.unknown(origin.samples.ids)
        if len(unknown):
            return 2, (
                f"{store} holds {part.samples:,} samples of '{part.source}', and {len(unknown):,} of the run's "
                f"{len(origin.samples):,} samples are not among them, the first with id {int(unknown[0])}."
            )
        shown = str(origin.views), origin.seed, origin.num_views
        # fewer views than the store has are enough; endless ones (None) are more than any store has
        # a store of an older version has the class of a user's view without its module
        same = part.views in (shown[0], without_modules(shown[0])) and shown[1] == part.view_seed
        if not same or (origin.num_views or part.num_views + 1) > part.num_views:
            return 3, (
                f"{store} holds {part.shows()} of '{part.source}', and the run shows {describe_views(*shown)}; leave "
                "the views to the store, or label those."
            )
        # partners are drawn from all samples, so a subset of the samples has other mixtures
        if origin.partners is not None and len(origin.partners) != part.samples:
            return 3, (
                f"{store} holds mixtures of {part.samples:,} samples of '{part.source}', and the run mixes "
                f"{len(origin.partners):,}; select the same samples, or label those of the run."
            )
        return NUM_COMPARED, ""

    def knows(self, samples: Samples) -> bool:
        """Return whether the store has targets of these samples without augmentation."""
        as_they_are = Origin(samples, Identity(), 0, 1)
        return any(self._agreement(part, as_they_are)[0] == NUM_COMPARED for part in self._parts.values())

    def lacks(self, samples: Samples) -> Tensor:
        """Return which of these samples were given no prediction; a store of a teacher that was queried lacks none."""
        found = super().lacks(samples)
        part = next(iter(self._parts.values()))  # the training samples
        if self.store.manifest.teacher.left_out and part.part.fingerprint == samples.source.fingerprint():
            found |= torch.isin(samples.ids, part.unknown(samples.ids))
        return found

    def settings(self) -> dict[str, Any]:
        """Return the views that the store was made with, as settings of a run."""
        part = next(iter(self._parts.values())).part  # the training samples; the others are labelled as they are
        return {"views": part.views, "num_views": part.num_views, "view_seed": part.view_seed}

    def fingerprint(self) -> str:
        """Return a hash of the manifest, which names the teacher, the data and the checksums of all shards."""
        return self.store.fingerprint


def _named(classes: tuple[str, ...]) -> str:
    names = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
    return f"{len(classes)} classes ({names})"
