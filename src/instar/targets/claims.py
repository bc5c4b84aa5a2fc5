"""Claims on shards: a shard is made by the process that has claimed it."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from instar.errors import StoreError
from instar.runs.locks import remove_left_over
from instar.targets.manifest import shard_name


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


class Claims:
    """The shards that this process has claimed; the operating system releases them when the process ends.

    Claims are locks on single bytes of one file, which also work across machines on network file systems.

    Args:
        folder: folder of the shards.
        has: whether a shard is there.
        file: the file of locks.
    """

    def __init__(self, folder: Path, has: Callable[[Piece], bool], file: IO[str]) -> None:
        self._folder, self._has, self._file = folder, has, file

    @contextmanager
    def taken(self, piece: Piece) -> Iterator[bool]:
        """Claim a shard inside the context; yield False if another process has claimed it, or it already exists."""
        with _locked(self._file, piece.number) as is_mine:
            if is_mine:
                remove_left_over(self._folder, piece.name)  # whoever began it is dead
            # checked under the lock, because its last owner may have finished it just before
            yield is_mine and not self._has(piece)


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
