"""Cache of decoded data on disk, with a checksum per file that is verified at every read."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import xxhash
from pydantic import Field, model_validator

from instar.checks import Count
from instar.errors import DataError, say
from instar.runs.checksums import CHECKSUM, seal, unseal
from instar.runs.documents import Document, NonNegativeInteger
from instar.runs.files import explain_full_disk
from instar.runs.locks import remove_left_over, remove_whole, wait_for_turn, whole

CONTENT_FILE = "complete.json"
"""Last file of a copy: its content, the checksums of its files, and a checksum of this file."""

_MAX_ATTEMPTS = 3
_WAITING = "instar: another process is decoding the same data; waiting until it ends."
_READ_CHUNK_BYTES = 1 << 20
_NOT_WRITABLE_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class _DamagedError(Exception):
    """A copy is damaged; the message is the reason."""


class _File(Document):
    """What was written about a file of a copy."""

    bytes: NonNegativeInteger
    modified: int


class _Copy(Document):
    """What every copy holds: splits, or the size at which images of several sizes have their copy."""

    files: dict[str, _File]
    splits: list[str] = Field(default_factory=list)
    classes: list[str] = Field(default_factory=list)
    image_size: Count | None = None

    @model_validator(mode="after")
    def _require_files_of_its_splits(self) -> Self:
        # another version may write other files under this name
        is_whole = bool(self.splits and self.classes) or self.image_size is not None
        is_plain = all(Path(name).name == name for name in self.files)
        has_files = all(
            any(name.startswith((f"{split}.", f"{split}-")) for name in self.files) for split in self.splits
        )
        if not (is_whole and is_plain and has_files):
            raise ValueError("it does not hold what its splits need")
        return self


def cache_folder() -> Path:
    """Return the folder of decoded data: $INSTAR_CACHE, or ~/.cache/instar."""
    return Path(os.environ.get("INSTAR_CACHE") or Path.home() / ".cache" / "instar")


def keep(folder: Path, write: Callable[[Path], Mapping[str, Any]], *, hashed_bytes: int) -> dict[str, Any]:
    """Return the content of a copy; write the copy if it is missing, and write it again if it is damaged.

    The content includes `files`: the size, the modification time and the checksum of each file by its name.

    The size and the checksum (xxh3, 128 bits) of each file are verified. A file larger than `hashed_bytes` is hashed
    only if its modification time has changed since it was written.

    Args:
        folder: folder of the copy.
        write: function that writes the files of a copy into a folder, and returns their content as JSON values.
        hashed_bytes: size up to which files are hashed at every read.

    Raises:
        DataError: when the cache cannot be written.
        RunError: when the disk is full.
    """
    for _ in range(_MAX_ATTEMPTS):  # a copy is returned only after it was read back from the disk
        try:
            if os.path.lexists(folder):  # also a link to nowhere, which would be in the way of the rename
                try:
                    return _verified(folder, hashed_bytes)
                except (_DamagedError, OSError) as error:
                    say(f"instar: the decoded copy '{folder}' is damaged ({error}); the data are decoded again.")
                    remove_whole(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            remove_left_over(folder.parent)  # of all copies, because one that is never read again would stay for ever
            with explain_full_disk(folder), wait_for_turn(folder.parent / f".{folder.name}.lock", _WAITING):
                if os.path.lexists(folder):  # of the process that this one waited for
                    continue
                # if another process was faster, because files cannot be locked here, its copy is used
                with whole(folder, when_taken=lambda made: None) as partial:
                    partial.mkdir()
                    _seal(partial, write(partial))
        except OSError as error:
            if error.errno not in _NOT_WRITABLE_ERRNOS:
                raise
            raise DataError(
                f"decoded data cannot be written to '{folder.parent}': {error.strerror}; set INSTAR_CACHE to a "
                "writable folder."
            ) from None
    raise DataError(f"the decoded copy '{folder}' is damaged each time after it is written; check the disk.")


def verify(folder: Path) -> dict[str, Any]:
    """Hash all bytes of a copy, whatever their number, and return its content.

    Raises:
        DataError: when there is no copy, or a file is not what was written.
    """
    if not os.path.lexists(folder):
        raise DataError(
            f"there is no decoded copy of these data ('{folder}'); the first run that reads them writes it."
        )
    try:
        return _verified(folder, hashed_bytes=None)
    except (_DamagedError, OSError) as error:
        raise DataError(
            f"the decoded copy '{folder}' is damaged ({error}); delete it, and the next run decodes the data again."
        ) from None


def _seal(folder: Path, holds: Mapping[str, Any]) -> None:
    files = {path.name: _describe_file(path) for path in sorted(folder.iterdir())}
    (folder / CONTENT_FILE).write_text(json.dumps(seal(dict(holds) | {"files": files})))


def _describe_file(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"bytes": found.st_size, "modified": found.st_mtime_ns, "checksum": hash_file(path)}


def _verified(folder: Path, hashed_bytes: int | None) -> dict[str, Any]:
    try:
        written = json.loads((folder / CONTENT_FILE).read_text())
        if CHECKSUM not in written:  # written before there were checksums, so nothing tells whether it is intact
            raise _DamagedError("it has no checksums")
        content = unseal(written, required=True)
        _Copy.model_validate(content)
    except FileNotFoundError:
        raise _DamagedError(f"{CONTENT_FILE} is missing") from None
    except (ValueError, AttributeError, TypeError, RecursionError):  # any JSON, or none: a list, 10,000 brackets
        raise _DamagedError(f"{CONTENT_FILE} was changed") from None
    files: dict[str, dict[str, Any]] = content["files"]
    for name, described in files.items():
        _verify(folder / name, described, hashed_bytes)
    return dict(content)


def _verify(path: Path, described: Mapping[str, Any], hashed_bytes: int | None) -> None:
    if not path.is_file():
        raise _DamagedError(f"{path.name} is missing")
    found = path.stat()
    if found.st_size != described["bytes"]:  # before the hash, because it costs nothing
        raise _DamagedError(f"{path.name} has {found.st_size:,} bytes, not {described['bytes']:,}")
    # reading hundreds of gigabytes at every start would cost minutes, and large files are mapped to avoid that
    is_large = hashed_bytes is not None and found.st_size > hashed_bytes
    if is_large and found.st_mtime_ns == described["modified"]:
        return
    if hash_file(path) != described["checksum"]:
        raise _DamagedError(f"{path.name} has another checksum")
    with suppress(OSError):  # the user copied the file: the next read need not hash it again
        if is_large:
            os.utime(path, ns=(found.st_atime_ns, described["modified"]))


def hash_file(path: Path) -> str:
    """Return the xxh3 hash of a file's content, 128 bits in hexadecimal digits."""
    digest = xxhash.xxh3_128()
    chunk = memoryview(bytearray(_READ_CHUNK_BYTES))  # one buffer for the whole file
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(chunk):
            digest.update(chunk[:size])
    return digest.hexdigest()
