"""Who works in a folder, and what dead processes have left there: locks that the system takes back with the process.

A process identifier says little: it is given again, and on a disk of several machines it is another's. A lock says
whether its process lives, wherever that is, as far as the file system passes locks on.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from instar.errors import RunError, say

LOCK = ".lock"
"""The file of a folder that whoever works there holds."""

LONG_NAME_BYTES = 200
"""Longer names have no room for what is put around them while they are written: 255 bytes are allowed."""

SECONDS_BETWEEN_TRIES = 0.05


@contextmanager
def hold_folder(folder: Path, while_waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a folder, which is made where it is missing, for this process alone; wait while another one holds it.

    Args:
        folder: to work in.
        while_waiting: is called again and again meanwhile, and may raise, so as not to wait for what will be refused.

    Raises:
        RunError: when the file system has no locks.
    """
    told = False
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LOCK).open("a") as file:
            try:
                is_mine = _lock(file.fileno(), folder / LOCK)
            except OSError as error:
                raise RunError(
                    f"'{folder}' is on a file system that cannot lock files ({error.strerror}); choose another folder."
                ) from None
            if is_mine:
                yield
                return
        while_waiting()
        if not told:
            say(f"instar: another process is working in '{folder}'; waiting for it.")
            told = True
        time.sleep(SECONDS_BETWEEN_TRIES)


@contextmanager
def whole(path: Path, when_taken: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Give a path for a file or a folder that becomes `path` when the context ends without an error, and never else.

    It lies in a hidden folder beside `path`, which this process holds, so that others know what to leave alone; what
    dead processes have begun of the same `path` is removed.

    Args:
        path: a file is replaced, and so is an empty folder.
        when_taken: is called with what was made where `path` is a folder with files, which stays; None: that is an
            error of the system.

    Raises:
        RunError: when `path` is a device, a pipe or a socket, which a file would take the place of.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise RunError(f"'{path}' is neither a file nor a folder, and is not replaced; choose another path.")
    remove_left_over(path.parent, path.name)
    while True:
        folder = Path(tempfile.mkdtemp(".partial", f".{_shortened(path.name)}.", path.parent))
        with _opened(folder) as held:
            try:
                is_mine = held is not None and _lock(held, folder)
            except OSError:  # where there are no locks nobody removes what is not locked
                is_mine = True
            if is_mine:
                try:
                    yield folder / path.name
                    _put(folder / path.name, path, when_taken)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                return


def remove_left_over(folder: Path, name: str = "*") -> None:
    """Remove what processes that were killed have begun to write in a folder; what is being written stays.

    Args:
        folder: in which.
        name: of the file that was to be written; "*": any.
    """
    for begun in folder.glob(f".{name if name == '*' else escape(_shortened(name))}.*.partial"):
        with suppress(OSError), _opened(begun) as held:  # another may be faster, or the folder read-only
            if held is not None and _lock(held, begun):
                shutil.rmtree(begun) if begun.is_dir() else begun.unlink()


def remove_whole(path: Path) -> None:
    """Remove a file or a folder under another name, so that no process sees half of it."""
    gone = Path(tempfile.mkdtemp(".partial", f".{_shortened(path.name)}.", path.parent))
    with suppress(FileNotFoundError):  # another process was faster
        path.replace(gone / path.name)
    shutil.rmtree(gone, ignore_errors=True)


def _put(made: Path, path: Path, when_taken: Callable[[Path], object] | None) -> None:
    try:
        made.replace(path)
    except OSError as error:
        if when_taken is None or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        when_taken(made)


def _shortened(name: str) -> str:
    """Return a name that has room for more: itself, or where it is long its hash."""
    content = os.fsencode(name)
    return name if len(content) <= LONG_NAME_BYTES else hashlib.blake2b(content, digest_size=16).hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a file or folder, but no link and no pipe that would wait for a writer; none where it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    """Lock an open file; false where another has locked it, or has removed it since it was opened."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
