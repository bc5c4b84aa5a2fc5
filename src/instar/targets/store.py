"""A target store: a folder with one manifest and the shards of its parts.

    manifest.json            description of the store; lists its shards once all are written
    train-00000.safetensors  records, starting one page after the start of the file
    train.ids.safetensors    ids of the samples, if a part has only some samples of a source

Each file is written under a temporary name and then renamed, so a store is complete or can be resumed, also by several
processes at the same time.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import torch
import xxhash
from torch import Tensor

from instar.data.placement import gather_inputs
from instar.errors import StoreError
from instar.paths import given_path, local_path
from instar.runs.files import explain_disk, write_json
from instar.runs.locks import LOCK_FILE, hold_folder, remove_left_over, whole
from instar.targets.manifest import ALL_IDS, MANIFEST_FILE, Manifest, PartDescription, Shard, read_manifest, shard_name
from instar.targets.records import Record
from instar.targets.shards import (
    hash_records,
    is_whole,
    map_shards,
    read_checksum,
    read_records,
    shard_bytes,
    write_shard,
)
from instar.targets.targets import Targets

_ID_BYTES = 8  # ids are stored as one more shard, whose records are one int64 each


@dataclass(frozen=True)
class Piece:
    """One shard of a store: its part, its number in the part, and its number in the store."""

    part: str
    index: int
    number: int

    @property
    def name(self) -> str:
        """Name of the file."""
        return shard_name(self.part, self.index)


class StoredPart:
    """The memory-mapped targets of one part of a store.

    Args:
        records: records, uint8 `[rows, width]`.
        part: description of the part.
        record: layout of a record.
        ids: sorted sample ids, int64; None: all samples of the source.
    """

    def __init__(self, records: Tensor, part: PartDescription, record: Record, ids: Tensor | None) -> None:
        self.records, self.part, self.record, self.ids = records, part, record, ids

    @property
    def decoded_bytes(self) -> int:
        """Memory of the decoded targets of one sample: numbers in float32, and ids in int64."""
        of_record = self.record.numbers * 4 + self.record.keep.number * 8
        return of_record * math.prod(self.part.positions)

    def unknown(self, ids: Tensor) -> Tensor:
        """Return those of `ids` that have no stored targets."""
        if self.ids is None:  # all ids of the source, which are 0..samples-1
            return ids[ids >= self.part.samples]
        # an id above all stored ones is found one place behind the last
        at = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        return ids[self.ids[at] != ids]

    def rows(self, ids: Tensor, view: int) -> Tensor:
        """Return the rows of `ids`, all of which must be stored."""
        at = ids if self.ids is None else torch.searchsorted(self.ids, ids)
        return at + view * self.part.samples if view else at  # one view, the usual case, costs no operation

    def targets(self, ids: Tensor, view: int, device: torch.device | str = "cpu") -> Targets:
        """Return the targets of `ids`, int64 `[batch]` on the host, in one view."""
        found = gather_inputs(self.records, self.rows(ids, view), torch.device(device))
        if self.part.positions:
            found = found.view(len(ids), *self.part.positions, self.record.width)
        return self.record.decode(found)


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
            raise StoreError(
                f"'{self.path}' needs {needed / 1e6:,.1f} MB more, but the disk has {free / 1e6:,.1f} MB; free some "
                "space, or store fewer classes or views."
            )

    @contextmanager
    def claims(self) -> Iterator[Claims]:
        """Open the claims on shards; a shard is made by the process that has claimed it."""
        # one descriptor for all claims: when a process closes any descriptor of a file, it loses all its locks on it
        with (self.path / LOCK_FILE).open("a") as file:
            yield Claims(self, file)

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
            self._opened[name] = StoredPart(records, part, part.record(self.num_classes), ids)
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


class Claims:
    """The shards that this process has claimed; the operating system releases them when the process ends.

    Claims are locks on single bytes of one file, which also work across machines on network file systems.
    """

    def __init__(self, store: TargetStore, file: IO[str]) -> None:
        self._store, self._file = store, file

    @contextmanager
    def taken(self, piece: Piece) -> Iterator[bool]:
        """Claim a shard inside the context; yield False if another process has claimed it, or it already exists."""
        with _locked(self._file, piece.number) as is_mine:
            if is_mine:
                remove_left_over(self._store.path, piece.name)  # whoever began it is dead
            # checked under the lock, because its last owner may have finished it just before
            yield is_mine and not self._store.has(piece)


@contextmanager
def _locked(file: IO[str], byte: int) -> Iterator[bool]:
    try:
        # a byte need not exist to be locked, so the file stays empty
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):  # POSIX allows either for a byte that is locked
            raise StoreError(
                f"'{Path(file.name).parent}' is on a file system that cannot lock files ({error.strerror}); choose a "
                "folder on another file system."
            ) from None
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)


def checksum_of_ids(ids: Tensor) -> str:
    """Return the hash of ids, int64."""
    return hash_records(ids.contiguous().view(torch.uint8))


def link(source: Path, target: Path) -> None:
    """Add a file of one store to another, as a hard link if the file system supports it."""
    with explain_disk(target), whole(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(source, temporary)


def _is_foreign(path: Path) -> bool:
    return path.name[0] != "." and not path.name.endswith(".ids.safetensors")


def ids_file(folder: Path, part: str) -> Path:
    """Return the path of the ids of a part."""
    return folder / f"{part}.ids.safetensors"
