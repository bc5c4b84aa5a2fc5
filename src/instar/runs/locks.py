"""File locks on folders in use, and clean-up of what killed processes left behind.

The system releases a lock when its process ends. Process identifiers would not do: the system reuses them, and on a
network disk another machine may use the same one. Locks work across machines if the file system supports them.
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

LOCK_FILE = ".lock"
"""File in a folder that the process working there locks."""

MAX_TEMPORARY_NAME_BYTES = 200
"""Longest file name that leaves room for the prefix and suffix of a temporary name; file systems allow 255 bytes."""

SECONDS_BETWEEN_TRIES = 0.05

_SILENT_SECONDS = 3


@contextmanager
def hold_folder(folder: Path, while_waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Lock a folder for this process, and create it if it is missing; wait while another process holds the lock.

    Args:
        folder: folder to lock.
        while_waiting: function that is called before each new try; it may raise to stop waiting.

    Raises:
        RunError: when the file system does not support locks.
    """
    told = False
    while True:
        folder.mkdir(parents=True, exist_ok=True)  # at each try, because whoever held it may have deleted it
        with (folder / LOCK_FILE).open("a") as file:
            try:
                is_mine = _lock(file.fileno(), folder / LOCK_FILE)
            except OSError as error:
                raise RunError(
                    f"'{folder}' is on a file system that cannot lock files ({error.strerror}); choose another folder."
                ) from None
            if is_mine:
                yield
                return

        while_waiting()
        if not told:
            say(f"instar: another process is using '{folder}'; waiting until it ends.")
            told = True
        time.sleep(SECONDS_BETWEEN_TRIES)


@contextmanager
def wait_for_turn(path: Path, waiting: str) -> Iterator[None]:
    """Let one process at a time do something; the others wait. Without file locks, all do it at once.

    Args:
        path: file that is locked, and that exists only meanwhile.
        waiting: what stderr says after a few seconds of waiting.
    """
    started, told = time.monotonic(), False
    while True:
        with path.open("a") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # whoever held it removed it, and another file may have its name by now
                is_mine = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except (BlockingIOError, PermissionError, FileNotFoundError):
                is_mine = False
            except OSError:  # a file system without locks
                is_mine = True
            if is_mine:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        if not told and time.monotonic() - started > _SILENT_SECONDS:
            say(waiting)
            told = True
        time.sleep(SECONDS_BETWEEN_TRIES)


@contextmanager
def whole(path: Path, when_taken: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Yield a temporary path for a file or a folder, and rename it to `path` if the context ends without an error.

    The temporary path is in a hidden folder beside `path`. This process locks that folder, so that others leave it
    alone. Temporary folders that killed processes left for the same `path` are removed.

    Args:
        path: final path; an existing file or empty folder is replaced.
        when_taken: function that gets the temporary path if `path` is a folder with files, which is then kept; None: a
            system error is raised.

    Raises:
        RunError: when `path` is a device, a pipe or a socket, which the rename would replace.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise RunError(f"'{path}' is not a regular file or folder, so it is not replaced; choose another path.")
    remove_left_over(path.parent, path.name)
    while True:
        folder = Path(tempfile.mkdtemp(".partial", f".{_shortened(path.name)}.", path.parent))
        with _opened(folder) as held:
            try:
                is_mine = held is not None and _lock(held, folder)
            except OSError:  # without locks, no process can lock this folder and remove it
                is_mine = True
            if is_mine:
                try:
                    yield folder / path.name  # a library may write temporary files of its own beside it
                    _put(folder / path.name, path, when_taken)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                return
            # another process took the folder for a left-over before it was locked, and removed it


def remove_left_over(folder: Path, name: str = "*") -> None:
    """Remove temporary files that killed processes left in a folder; those of running processes stay.

    Args:
        folder: folder to clean up.
        name: name of the final file; "*" for all.
    """
    for begun in folder.glob(f".{name if name == '*' else escape(_shortened(name))}.*.partial"):
        # another process may remove it first, or the folder may be read-only
        with suppress(OSError), _opened(begun) as held:
            if held is not None and _lock(held, begun):
                shutil.rmtree(begun) if begun.is_dir() else begun.unlink()


def remove_whole(path: Path) -> None:
    """Rename a file or folder and then remove it, so that no process sees a part of it."""
    # a kill between the two leaves a folder that `remove_left_over` finds
    gone = Path(tempfile.mkdtemp(".partial", f".{_shortened(path.name)}.", path.parent))
    with suppress(FileNotFoundError):  # another process was faster
        path.replace(gone / path.name)
    shutil.rmtree(gone, ignore_errors=True)


def _put(made: Path, path: Path, when_taken: Callable[[Path], object] | None) -> None:
    try:
        made.replace(path)
    except OSError as error:
        # a folder with files is not replaced: another process was faster, or it holds something else
        if when_taken is None or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        when_taken(made)


def _shortened(name: str) -> str:
    content = os.fsencode(name)
    return name if len(content) <= MAX_TEMPORARY_NAME_BYTES else hashlib.blake2b(content, digest_size=16).hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    # O_NOFOLLOW: a link could lead anywhere. O_NONBLOCK: opening a pipe would wait for a writer
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:  # another process removed it since it was listed
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    """Lock an open file; return False if another process has locked it, or removed it since it was opened."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # the lock is on the open file, and another one may have its name by now
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
