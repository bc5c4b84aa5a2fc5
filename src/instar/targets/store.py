"""A target store: a folder with one manifest and the shards of its parts.

    manifest.json            description of the store; lists its shards once all are written
    train-00000.safetensors  records, starting one page after the start of the file
    train.ids.safetensors    ids of the samples, if a part has only some samples of a source

Each file is written under a temporary name and then renamed, so a store is complete or can be resumed, also by several
processes at the same time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor

from instar.compute.inputs import Shape
from instar.errors import StoreError
from instar.paths import given_path, local_path
from instar.runs.files import explain_disk, write_json
from instar.runs.locks import LOCK_FILE, hold_folder, remove_left_over
from instar.targets.claims import Claims, Piece
from instar.targets.manifest import ALL_IDS, MANIFEST_FILE, Manifest, Shard, read_manifest
from instar.targets.shards import (
    checksum_of_ids,
    hash_records,
    ids_file,
    is_whole,
    map_shards,
    read_checksum,
    read_records,
    shard_bytes,
    write_shard,
)
from instar.targets.stored_part import StoredPart

_ID_BYTES = 8  # ids are stored as one more shard, whose records are one int64 each


class TargetStore:
    """A folder of stored targets. Opening it reads only its manifest.

    Args:
        path: path of the folder.

    Raises:
        StoreError: when the folder is not a store, is damaged, or has a newer format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = given_path(path, "a target store")
        self.manifest = read_manifest(self.path)
        self.first_look: dict[str, Any] | None = None
        """Quality of the teacher on a few samples, set by `label`; not part of the store."""
        self._opened: dict[str, StoredPart] = {}

    def __repr__(self) -> str:
        return f"TargetStore({str(self.path)!r})"

    @classmethod
    def start(
        cls, path: str | Path, manifest: Manifest, ids: Mapping[str, Tensor], name: str = "requested"
    ) -> TargetStore:
        """Create the folder, or open it again if it has the same plan.

        Args:
            path: path of the folder.
            manifest: plan of the store, without shards.
            ids: sample ids by part, for parts with only some samples of their source.
            name: name of the plan, for error messages.

        Raises:
            StoreError: when the folder contains something else; names what differs.
        """
        path = local_path(path)

        def found() -> TargetStore | None:
            # a process that was killed at its start may have left hidden files and ids, which make no foreign folder
            is_foreign = path.is_file() or (path.is_dir() and any(map(_is_foreign, path.iterdir())))
            if (path / MANIFEST_FILE).exists():  # after the listing, because another process may have just created it
                store = cls(path)
                return store if store._is_planned(manifest, ids, name) else None
            if is_foreign:
                raise StoreError(f"'{path}' exists and is not a target store; choose a new or an empty folder.")
            return None

        if store := found():  # before the lock, which a read-only folder does not allow
            return store
        # `found` again while waiting: another plan is refused at once, and not after the other process has ended
        with explain_disk(path), hold_folder(path, found):
            if not found():
                # ids before the manifest, so that a store with a manifest has all its ids, unless one was deleted
                for part, values in ids.items():
                    write_shard(ids_file(path, part), values.contiguous().view(torch.uint8).view(-1, _ID_BYTES))
                if not (path / MANIFEST_FILE).exists():  # one that is there may list its shards already
                    write_json(path / MANIFEST_FILE, manifest.model_dump(mode="json"))
        return cls(path)

    def _is_planned(self, manifest: Manifest, ids: Mapping[str, Tensor], name: str) -> bool:
        self.refuse_other(manifest, name)
        return all(is_whole(ids_file(self.path, part), len(values), _ID_BYTES) for part, values in ids.items())

    def refuse_other(self, other: Manifest, name: str) -> None:
        """Refuse a store with another plan.

        Raises:
            StoreError: when the plans differ; names what differs.
        """
        if found := self.manifest.other_plan(other):
            raise StoreError(
                f"'{self.path}' is another target store than {name} ({found}); choose another folder, or delete it."
            )

    @property
    def complete(self) -> bool:
        """Whether all shards are written."""
        return self.manifest.complete

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.manifest.classes)

    @property
    def fingerprint(self) -> str:
        """Hash of the plan and of the checksums of all shards."""
        shards = [part.shards for part in self.manifest.parts.values()]
        return xxhash.xxh3_128_hexdigest(repr((self.manifest.plan(), shards)).encode())

    def layers(self) -> dict[str, Shape]:
        """Return the hidden layers that it keeps for the training samples, with their shapes for one sample."""
        first = next(iter(self.manifest.parts.values()))
        return {layer.name: layer.shape for layer in first.layers}

    def pieces(self) -> list[Piece]:
        """Return all shards."""
        found = chain.from_iterable(((n, i) for i in range(p.num_shards)) for n, p in self.manifest.parts.items())
        return [Piece(part, index, number) for number, (part, index) in enumerate(found)]

    def file(self, piece: Piece) -> Path:
        """Return the path of a shard."""
        return self.path / piece.name

    def missing(self) -> list[Piece]:
        """Return the shards that are missing or incomplete."""
        return [piece for piece in self.pieces() if not self.has(piece)]

    def has(self, piece: Piece) -> bool:
        """Return whether a shard exists with its full size."""
        return is_whole(self.file(piece), *self._shape(piece))

    def bytes_of(self, piece: Piece) -> int:
        """Return the size of a shard."""
        return shard_bytes(*self._shape(piece))

    def _shape(self, piece: Piece) -> tuple[int, int]:
        part = self.manifest.parts[piece.part]
        return len(part.shard_rows(piece.index)), part.width(self.num_classes)

    def refuse_full_disk(self, pieces: Sequence[Piece]) -> None:
        """Refuse a disk without room for all shards, before the first one is written.

        Raises:
            StoreError: when the disk has too little room; names both sizes.
        """
        needed, free = sum(map(self.bytes_of, pieces)), shutil.disk_usage(self.path).free
        if needed > free:
            what = "classes, views or layers" if self.layers() else "classes or views"
            raise StoreError(
                f"'{self.path}' needs {needed / 1e6:,.1f} MB more, but the disk has {free / 1e6:,.1f} MB; free some "
                f"space, or store fewer {what}."
            )

    @contextmanager
    def claims(self) -> Iterator[Claims]:
        """Open the claims on shards; a shard is made by the process that has claimed it."""
        # one descriptor for all claims: when a process closes any descriptor of a file, it loses all its locks on it
        with (self.path / LOCK_FILE).open("a") as file:
            yield Claims(self.path, self.has, file)

    def write(self, piece: Piece, records: Tensor) -> None:
        """Write a shard."""
        assert records.shape == self._shape(piece), "a shard has the rows of its plan"
        write_shard(self.file(piece), records)

    def finish(self) -> None:
        """List all shards in the manifest, which completes the store.

        Raises:
            StoreError: when a shard is missing or damaged.
        """
        parts = {}
        for name, part in self.manifest.parts.items():
            shards = []
            for piece in (piece for piece in self.pieces() if piece.part == name):
                rows, width = self._shape(piece)
                # from the header, because other processes may have written the shard
                found = read_checksum(self.file(piece), rows, width)
                shards.append(Shard(name=piece.name, rows=rows, checksum=found))
            parts[name] = part.model_copy(update={"shards": tuple(shards)})
        self.manifest = self.manifest.model_copy(update={"parts": parts})
        with hold_folder(self.path):  # all processes that made shards may arrive here at the same time
            remove_left_over(self.path)
            write_json(self.path / MANIFEST_FILE, self.manifest.model_dump(mode="json"))

    def part(self, name: str) -> StoredPart:
        """Open a part.

        Raises:
            StoreError: when the store is not complete, or a shard is missing or cut short.
        """
        if name not in self._opened:
            part = self.manifest.parts[name]
            if part.shards is None:
                missing = len(self.missing())
                raise StoreError(
                    f"the target store '{self.path}' is not complete: {missing} of {len(self.pieces())} shards are "
                    "missing; run its label command again to finish it."
                )
            # sizes alone are compared here: opening reads no record, however large the store is
            files = [self.path / shard.name for shard in part.shards]
            records = map_shards(files, [shard.rows for shard in part.shards], part.width(self.num_classes))
            ids = None if part.ids == ALL_IDS else self.ids(name)
            self._opened[name] = StoredPart(records, part, part.layout(self.num_classes), ids)
        return self._opened[name]

    def ids(self, name: str) -> Tensor:
        """Return the memory-mapped ids of a part with only some samples of its source, int64 `[samples]`."""
        samples = self.manifest.parts[name].samples
        return read_records(ids_file(self.path, name), samples, _ID_BYTES).view(torch.int64).view(-1)

    def check(self) -> int:
        """Verify the checksums of all files, and return the number of bytes of all records.

        Raises:
            StoreError: when a file is missing, cut short or changed; names the first one.
        """
        read = 0
        for name, part in self.manifest.parts.items():
            stored = self.part(name)
            if stored.ids is not None and checksum_of_ids(stored.ids) != part.ids:
                raise StoreError(
                    f"'{ids_file(self.path, name)}' has changed since it was written; delete it, and run the label "
                    "command again."
                )
            for shard in part.shards or ():
                # mapped one by one, so that the pages of a shard are freed before the next is read
                records = read_records(self.path / shard.name, shard.rows, part.width(self.num_classes))
                if hash_records(records) != shard.checksum:
                    raise StoreError(
                        f"the shard '{self.path / shard.name}' has changed since it was written: its checksum differs "
                        "from the manifest; delete it, and run the label command again."
                    )
                read += records.numel()
        return read


def _is_foreign(path: Path) -> bool:
    return path.name[0] != "." and not path.name.endswith(".ids.safetensors")
