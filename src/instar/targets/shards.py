"""Shards: safetensors files of records, written atomically, and mapped behind each other as one tensor."""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor

from instar.data.mapping import map_over, reserve
from instar.errors import StoreError
from instar.runs.files import explain_disk, write_whole
from instar.runs.locks import whole

PAGE_BYTES = 65536
"""Offset of the records in a shard; the records of every shard except the last take a multiple of these bytes.

It is the largest memory page in use. So every machine can map shards directly behind each other, and a gather need not
know which shard holds a row.
"""

SHARD_ROWS, SHARD_BYTES = 65536, 64 << 20
"""A shard holds about this many rows or bytes, whichever is less; a killed labelling loses one shard of work."""

_TENSOR_NAME = "rows"


def rows_per_shard(width: int, wanted: int | None = None) -> int:
    """Return the number of rows of a shard: `wanted`, or the usual number, rounded up so that it ends at a page.

    >>> rows_per_shard(132), rows_per_shard(132, wanted=1)
    (65536, 16384)
    """
    step = PAGE_BYTES // math.gcd(width, PAGE_BYTES)  # the fewest rows that fill whole pages
    return step * math.ceil((wanted or min(SHARD_ROWS, max(1, SHARD_BYTES // width))) / step)


def hash_records(records: Tensor) -> str:
    """Return a hash of the bytes of records, uint8 and contiguous."""
    return xxhash.xxh3_128_hexdigest(records.reshape(-1).numpy().data)


def checksum_of_ids(ids: Tensor) -> str:
    """Return the hash of ids, int64."""
    return hash_records(ids.contiguous().view(torch.uint8))


def ids_file(folder: Path, part: str) -> Path:
    """Return the path of the ids of a part."""
    return folder / f"{part}.ids.safetensors"


def write_shard(path: Path, records: Tensor) -> str:
    """Write records, uint8 `[rows, width]`, to a safetensors file, atomically; return their checksum."""
    # in the file as well, so that a process that resumes need not read the shards of others to finish the manifest
    found = hash_records(records)
    described = {
        "__metadata__": {"checksum": found},
        _TENSOR_NAME: {"dtype": "U8", "shape": list(records.shape), "data_offsets": [0, records.numel()]},
    }
    # the format starts with 8 bytes for the header's length, and allows spaces at the end of the header
    header = json.dumps(described, separators=(",", ":")).encode().ljust(PAGE_BYTES - 8)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.write(records.reshape(-1).numpy().data)

    write_whole(path, write)
    return found


def read_checksum(path: Path, rows: int, width: int) -> str:
    """Read the checksum that a shard was written with, without its records.

    Raises:
        StoreError: when the shard is missing, cut short, no safetensors file, or of another shape.
    """
    refuse_other_size(path, rows, width)
    try:
        with safe_open(path, framework="pt") as file:
            shape, metadata = file.get_slice(_TENSOR_NAME).get_shape(), file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise StoreError(
            f"the shard '{path}' is damaged: {error}; delete it, and run the label command again."
        ) from None
    if shape != [rows, width] or "checksum" not in metadata:
        raise StoreError(
            f"the shard '{path}' has records of shape {shape}, expected {[rows, width]}; delete it, and run the label "
            "command again."
        )
    found: str = metadata["checksum"]
    return found


def shard_bytes(rows: int, width: int) -> int:
    """Return the size of the file of a shard."""
    return PAGE_BYTES + rows * width


def is_whole(path: Path, rows: int, width: int) -> bool:
    """Return whether a shard exists with its full size."""
    return path.is_file() and path.stat().st_size == shard_bytes(rows, width)


def refuse_other_size(path: Path, rows: int, width: int) -> None:
    """Refuse a shard of the wrong size.

    Raises:
        StoreError: when the shard is missing, or shorter or longer than its rows.
    """
    # reading beyond the end of a mapped file is no exception: the system kills the process (SIGBUS)
    expected = shard_bytes(rows, width)
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise StoreError(f"the shard '{path}' is missing; run the label command again to make it.") from None
    if size != expected:
        raise StoreError(
            f"the shard '{path}' has {size:,} bytes instead of {expected:,}; delete it, and run the label command "
            "again."
        )


def read_records(path: Path, rows: int, width: int) -> Tensor:
    """Return the records of one shard, mapped, uint8 `[rows, width]`."""
    return map_shards([path], [rows], width)


def map_shards(paths: Sequence[Path], rows: Sequence[int], width: int) -> Tensor:
    """Map all shards as one tensor, uint8 `[sum of rows, width]`; the system reads a page when it is first used.

    Args:
        paths: paths of the shards, in order.
        rows: number of rows of each shard; all shards except the last end at a page.
        width: bytes of a record.

    Raises:
        StoreError: when a shard is missing, or shorter or longer than its rows.
    """
    total = sum(rows) * width
    # one range of addresses for all shards, which are then mapped over it piece by piece
    with _explain():
        memory = reserve(total, mmap.PROT_READ)
    offset = 0
    for path, count in zip(paths, rows, strict=True):
        refuse_other_size(path, count, width)
        file = os.open(path, os.O_RDONLY)
        try:
            # shared, so that all processes of a machine read one copy in the page cache
            with _explain():
                map_over(memory, offset, count * width, file, mmap.PROT_READ, mmap.MAP_SHARED, PAGE_BYTES)
        finally:
            os.close(file)  # the mapping outlives it; a store of thousands of shards would run out of descriptors
        offset += count * width
    return torch.frombuffer(memory, dtype=torch.uint8).view(-1, width)


def link(source: Path, target: Path) -> None:
    """Add a file of one store to another, as a hard link if the file system supports it."""
    with explain_disk(target), whole(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(source, temporary)


@contextmanager
def _explain() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the records of a target store cannot be mapped: {error.strerror}.") from None
    except OverflowError:
        raise StoreError("the records of a target store cannot be mapped: they are too large.") from None
