"""Copies of data on disk that are whole: a checksum per file, compared when a copy is read; a damaged one is remade."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import xxhash

from instar.errors import DataError, say
from instar.runs.checksums import CHECKSUM, seal, unseal
from instar.runs.files import explain_full_disk
from instar.runs.locks import remove_left_over, remove_whole, whole

COMPLETE = "complete.json"
"""The last file of a copy: what it holds, the checksums of its files, and one of all this."""

_ATTEMPTS = 3
_CHUNK_BYTES = 1 << 20
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class _DamagedError(Exception):
    """Why a copy cannot be trusted."""


def cache_folder() -> Path:
    """Return where decoded data are kept: $INSTAR_CACHE, or ~/.cache/instar."""
    return Path(os.environ.get("INSTAR_CACHE") or Path.home() / ".cache" / "instar")


def keep(folder: Path, write: Callable[[Path], Mapping[str, Any]], *, hashed_bytes: int) -> dict[str, Any]:
    """Return what a copy holds. It is written where there is none yet, and written anew where it is damaged.

    Every file is compared with its size and its checksum (xxh3, 128 bits). A file of more than `hashed_bytes` is read
    for its checksum only where its modification time is not that of its writing.

    Args:
        folder: of the copy.
        write: writes files into a folder, and returns what they hold, as JSON values.
        hashed_bytes: files up to this size are hashed whenever a copy is read.

    Raises:
        DataError: when the cache cannot be written.
        RunError: when the disk is full.
    """
    for _ in range(_ATTEMPTS):
        try:
            if os.path.lexists(folder):
                try:
                    return _verified(folder, hashed_bytes)
                except (_DamagedError, OSError) as error:
                    told = f"the decoded copy '{folder}' is damaged ({error})"
                    say(f"instar: {told}; it is thrown away, and the data are decoded anew.")
                    remove_whole(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            remove_left_over(folder.parent)
            # where another process was faster, its copy is as good
            with explain_full_disk(folder), whole(folder, when_taken=lambda made: None) as partial:
                partial.mkdir()
                _seal(partial, write(partial))
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            raise DataError(
                f"decoded data cannot be written to '{folder.parent}': {error.strerror}; set INSTAR_CACHE to a folder "
                "that can be written."
            ) from None
    raise DataError(f"the decoded copy '{folder}' is damaged again whenever it is written; check the disk.")


def _seal(folder: Path, holds: Mapping[str, Any]) -> None:
    """Write last what a copy holds, and what its files have to be."""
    files = {path.name: _described(path) for path in sorted(folder.iterdir())}
    (folder / COMPLETE).write_text(json.dumps(seal(dict(holds) | {"files": files})))


def _described(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"bytes": found.st_size, "modified": found.st_mtime_ns, "checksum": checksum(path)}


def _verified(folder: Path, hashed_bytes: int) -> dict[str, Any]:
    """Return what a copy holds.

    Raises:
        _DamagedError: when a file is missing, or not as it was written.
    """
    try:
        written = json.loads((folder / COMPLETE).read_text())
        if CHECKSUM not in written:
            raise _DamagedError("it is from before there were checksums")
        content = unseal(written, required=True)
    except FileNotFoundError:
        raise _DamagedError(f"{COMPLETE} is missing") from None
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise _DamagedError(f"{COMPLETE} is not as it was written") from None
    files: dict[str, dict[str, Any]] = content.pop("files")
    for name, described in files.items():
        _verify(folder / name, described, hashed_bytes)
    return dict(content)


def _verify(path: Path, described: Mapping[str, Any], hashed_bytes: int) -> None:
    if not path.is_file():
        raise _DamagedError(f"{path.name} is missing")
    found = path.stat()
    if found.st_size != described["bytes"]:
        raise _DamagedError(f"{path.name} has {found.st_size:,} bytes, not {described['bytes']:,}")
    if found.st_size > hashed_bytes and found.st_mtime_ns == described["modified"]:
        return
    if checksum(path) != described["checksum"]:
        raise _DamagedError(f"{path.name} has another checksum")
    with suppress(OSError):  # a copy of a copy: a large file need not be read whole the next time
        if found.st_size > hashed_bytes:
            os.utime(path, ns=(found.st_atime_ns, described["modified"]))


def checksum(path: Path) -> str:
    """Return the xxh3 hash of a file's content, 128 bits in hexadecimal digits."""
    digest = xxhash.xxh3_128()
    chunk = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(chunk):
            digest.update(chunk[:size])
    return digest.hexdigest()
