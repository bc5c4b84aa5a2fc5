"""Checksums of what Instar reads back, each beside its content: in a JSON document, a line, a file of tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

CHECKSUM = "checksum"
"""The key of a JSON document that holds the hash of all its other keys."""

BLANK = "0" * 32
"""Stands for the checksum of a file of tensors while that is computed: it is in the file itself."""

TENSORS_START = b'{"__metadata__":{"instar":"{\\"checksum\\": \\"'
"""How the header of a sealed file of tensors begins, after the eight bytes of its length."""

_AT = 8 + len(TENSORS_START)
_CHUNK_BYTES = 1 << 20


def digest(values: Any, key: str = "") -> str:
    """Return the xxh3-128 hash of JSON values, which does not depend on spaces or the order of keys.

    Args:
        values: what JSON can hold.
        key: what the values belong to; the same values of something else have another hash.

    >>> digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    True
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest((key + text).encode())


def seal(values: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """Return JSON values, as they will be read back, with their checksum as one more key.

    >>> sealed = seal({"a": [1, 2]})
    >>> sealed["checksum"] == digest({"a": [1, 2]})
    True
    """
    plain = {name: value for name, value in values.items() if name != CHECKSUM}
    return plain | {CHECKSUM: digest(plain, key)}


def unseal(values: Mapping[str, Any], *, required: bool, key: str = "") -> dict[str, Any]:
    """Return JSON values without their checksum, which is compared.

    Args:
        values: what `seal` returned, or values from before there were checksums.
        required: refuse values without a checksum.
        key: as it was given to `seal`.

    Raises:
        ValueError: with the end of a sentence about the file.
    """
    plain = {name: value for name, value in values.items() if name != CHECKSUM}
    if CHECKSUM not in values:
        if required:
            raise ValueError("its checksum is missing")
    elif values[CHECKSUM] != digest(plain, key):
        raise ValueError("its content does not match its checksum, so it was changed after it was written")
    return plain


def seal_tensors(path: Path) -> str:
    """Write the hash of a safetensors file, which holds `BLANK` in its place, into the file; return it."""
    found = _hash(path)
    with path.open("rb+") as file:
        file.seek(_AT)
        file.write(found.encode())
    return found


def tensors_checksum(path: Path, *, required: bool) -> str | None:
    """Return the checksum of a safetensors file, which is compared with its content; none where it has none.

    Raises:
        ValueError: with the end of a sentence about the file.
    """
    with path.open("rb") as file:
        start = file.read(_AT + len(BLANK))
    if start[8:_AT] != TENSORS_START:
        if required:
            raise ValueError("its checksum is missing")
        return None
    wanted = start[_AT:].decode(errors="replace")
    if wanted != _hash(path):
        raise ValueError("its content does not match its checksum, so it was changed after it was written")
    return wanted


def _hash(path: Path) -> str:
    """Return the hash of a safetensors file with `BLANK` for its checksum."""
    found = xxhash.xxh3_128()
    chunk = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        found.update(file.read(_AT))
        file.read(len(BLANK))
        found.update(BLANK.encode())
        while size := file.readinto(chunk):
            found.update(chunk[:size])
    return found.hexdigest()
