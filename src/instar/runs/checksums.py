"""Checksums inside JSON documents, lines of metrics.jsonl and safetensors files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

CHECKSUM = "checksum"
"""Key of a JSON document whose value is the hash of all other keys."""

BLANK_CHECKSUM = "0" * 32
"""Placeholder for the checksum of a safetensors file while it is computed, because the file contains it."""

TENSORS_START = b'{"__metadata__":{"instar":"{\\"checksum\\": \\"'
"""First bytes of the header of a sealed safetensors file, after the eight bytes of its length."""

_CHECKSUM_OFFSET_BYTES = 8 + len(TENSORS_START)
_HASH_CHUNK_BYTES = 1 << 20


def digest(values: Any, key: str = "") -> str:
    """Return the xxh3-128 hash of JSON values, which does not depend on spaces or the order of keys.

    Args:
        values: values that JSON can hold.
        key: owner of the values; equal values of another owner have another hash.

    >>> digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    True
    """
    # sorted, because other programs may write the keys in another order
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest((key + text).encode())


def seal(values: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """Return JSON values with their checksum as one more key.

    >>> sealed = seal({"a": [1, 2]})
    >>> sealed["checksum"] == digest({"a": [1, 2]})
    True
    """
    plain = {name: value for name, value in values.items() if name != CHECKSUM}  # values may be sealed already
    return plain | {CHECKSUM: digest(plain, key)}


def unseal(values: Mapping[str, Any], *, required: bool, key: str = "") -> dict[str, Any]:
    """Verify the checksum of JSON values, and return the values without it.

    Args:
        values: values that `seal` returned, or values of an older version, which have no checksum.
        required: refuse values without a checksum.
        key: the same key as for `seal`.

    Raises:
        ValueError: when the checksum is wrong, or missing although required; the message is half a sentence.
    """
    plain = dict(values)
    checksum = plain.pop(CHECKSUM, None)
    if CHECKSUM not in values:  # and not `checksum is None`: null in its place would be a way around the check
        if required:
            raise ValueError("its checksum is missing")
    elif checksum != digest(plain, key):
        raise ValueError("its content does not match its checksum, so it was changed after it was written")
    return plain


def seal_tensors(path: Path) -> str:
    """Replace `BLANK_CHECKSUM` in a safetensors file by the hash of the file, and return the hash."""
    found = _hash(path)
    # in place, because its length is the same; the file has not got its final name yet
    with path.open("rb+") as file:
        file.seek(_CHECKSUM_OFFSET_BYTES)
        file.write(found.encode())
    return found


def tensors_checksum(path: Path, *, required: bool) -> str | None:
    """Verify the checksum of a safetensors file and return it; None if the file has none.

    Raises:
        ValueError: when the checksum is wrong, or missing although required; the message is half a sentence.
    """
    with path.open("rb") as file:
        start = file.read(_CHECKSUM_OFFSET_BYTES + len(BLANK_CHECKSUM))
    if start[8:_CHECKSUM_OFFSET_BYTES] != TENSORS_START:
        if required:
            raise ValueError("its checksum is missing")
        return None
    wanted = start[_CHECKSUM_OFFSET_BYTES:].decode(errors="replace")
    if wanted != _hash(path):
        raise ValueError("its content does not match its checksum, so it was changed after it was written")
    return wanted


def _hash(path: Path) -> str:
    # in chunks of one buffer, because a file of weights may be larger than memory
    found = xxhash.xxh3_128()
    chunk = memoryview(bytearray(_HASH_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        found.update(file.read(_CHECKSUM_OFFSET_BYTES))
        # as if the checksum were still blank, because a hash cannot cover itself
        file.read(len(BLANK_CHECKSUM))
        found.update(BLANK_CHECKSUM.encode())
        while size := file.readinto(chunk):
            found.update(chunk[:size])
    return found.hexdigest()
