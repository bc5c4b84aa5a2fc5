"""A target store as a teacher: it has targets only for the samples and views that it was made from."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any

from instar.data.loader import Batch, Origin
from instar.data.samples import Samples
from instar.data.views import Identity
from instar.errors import MismatchError
from instar.targets.manifest import describe_views
from instar.targets.store import StoredPart, TargetStore
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher, drop_positions

MAX_CHECKED_BYTES = 1 << 30
"""Smaller stores, which take up to a second to read, are compared with their checksums when they are opened."""

NUM_COMPARED = 4
"""What a part of a store and a loader are compared by: classes, source, samples and views."""

LOOKAHEAD_BYTES = 1 << 20
"""Targets of the coming batches that are looked up at once on a CPU: few enough for its cache."""

ACCELERATOR_LOOKAHEAD_BYTES = 32 << 20


class _Ahead:
    """Targets of the samples from `start` to `stop` of an order, split at once into those of the coming batches."""

    def __init__(self, batch: Batch, stop: int, answers: Targets) -> None:
        self.order, self.view, self.start, self.stop, self.answers = batch.order, batch.view, batch.place, stop, answers
        size = len(batch)
        starts = range(0, stop - batch.place - size + 1, size)
        self._parts = {(batch.place + start, size): answers.part(start, start + size) for start in starts}

    def about(self, batch: Batch) -> Targets | None:
        """Return the targets of a batch; None: they are not among these."""
        if batch.order is not self.order or batch.view != self.view:
            return None
        found = self._parts.get((batch.place, len(batch)))
        if found is None and self.start <= batch.place and batch.place + len(batch) <= self.stop:
            start = batch.place - self.start
            found = self.answers.part(start, start + len(batch))
        return found


class Stored(Teacher):
    """The targets of a target store, looked up by (id, view).

    Args:
        store: its folder.
        lookahead_bytes: bytes of targets of the coming batches that are looked up at once; None: as suits the device.

    Raises:
        StoreError: when it is not complete, damaged, or from a newer version.
    """

    def __init__(self, store: TargetStore | str | Path, *, lookahead_bytes: int | None = None) -> None:
        self.store = store if isinstance(store, TargetStore) else TargetStore(store)
        self._parts = {name: self.store.part(name) for name in self.store.manifest.parts}
        if sum(part.records.numel() for part in self._parts.values()) <= MAX_CHECKED_BYTES:
            self.store.check()
        self._seen: tuple[Origin | None, StoredPart | None] = (None, None)
        self._ahead: _Ahead | None = None
        self._lookahead_bytes = lookahead_bytes

    def targets(self, batch: Batch) -> Targets:
        """Return the stored targets of the batch.

        Raises:
            MismatchError: when it has other samples, views or classes than the store; names both.
        """
        origin, part = self._seen
        if origin is not batch.origin or part is None:
            part = self._part_of(batch.origin)
            self._seen, self._ahead = (batch.origin, part), None
        if batch.order is None:
            return drop_positions(part.targets(batch.ids.cpu(), batch.view, batch.ids.device), batch)
        found = self._ahead.about(batch) if self._ahead else None
        if found is None:
            is_cpu = batch.ids.device.type == "cpu"
            ahead = self._lookahead_bytes or (LOOKAHEAD_BYTES if is_cpu else ACCELERATOR_LOOKAHEAD_BYTES)
            until = batch.place + max(len(batch), ahead // part.decoded_bytes)
            ids = batch.order[batch.place : until]
            answers = part.targets(ids, batch.view, batch.ids.device)
            self._ahead = _Ahead(batch, batch.place + len(ids), answers)
            found = self._ahead.about(batch)
            assert found is not None, "the batch is the first of those that were looked up"
        return drop_positions(found, batch)

    def _part_of(self, origin: Origin | None) -> StoredPart:
        """Return the part that knows all samples and views of an origin."""
        if origin is None:
            raise MismatchError(f"the target store '{self.store.path}' answers about batches of a Loader only.")
        agreement, sentence, part = max(
            ((*self._agreement(p, origin), p) for p in self._parts.values()), key=itemgetter(0)
        )
        if agreement < NUM_COMPARED:
            raise MismatchError(sentence)
        return part

    def _agreement(self, stored: StoredPart, origin: Origin) -> tuple[int, str]:
        """Return in how many respects a part and an origin agree, and a sentence about the first difference."""
        part, source, store = stored.part, origin.samples.source, f"the target store '{self.store.path}'"
        classes = self.store.manifest.classes
        if classes != source.classes:
            return 0, f"{store} has {_named(classes)}, and '{source.name}' has {_named(source.classes)}."
        if part.fingerprint != source.fingerprint():
            return 1, (
                f"{store} was made from '{part.source}' (fingerprint {part.fingerprint[:8]}), and is asked about "
                f"'{source.name}' ({source.fingerprint()[:8]})."
            )
        unknown = stored.unknown(origin.samples.ids)
        if len(unknown):
            return 2, (
                f"{store} holds {part.samples:,} samples of '{part.source}', and {len(unknown):,} of the "
                f"{len(origin.samples):,} that are asked about are not among them, the first with id {int(unknown[0])}."
            )
        shown = str(origin.views), origin.seed, origin.num_views
        if shown[:2] != (part.views, part.view_seed) or (origin.num_views or part.num_views + 1) > part.num_views:
            return 3, (
                f"{store} holds {part.shows()} of '{part.source}', and the run shows {describe_views(*shown)}; leave "
                "the views to the store, or label those."
            )
        return NUM_COMPARED, ""

    def knows(self, samples: Samples) -> bool:
        """Return whether the store has targets of samples without views."""
        as_they_are = Origin(samples, Identity(), 0, 1)
        return any(self._agreement(part, as_they_are)[0] == NUM_COMPARED for part in self._parts.values())

    def settings(self) -> dict[str, Any]:
        """Return the views that the store was made with: those of its first part, the training samples."""
        part = next(iter(self._parts.values())).part
        return {"views": part.views, "num_views": part.num_views, "view_seed": part.view_seed}

    def fingerprint(self) -> str:
        """Return a hash of the manifest, which names the teacher, the data and every shard's checksum."""
        return self.store.fingerprint


def _named(classes: tuple[str, ...]) -> str:
    names = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
    return f"{len(classes)} classes ({names})"
