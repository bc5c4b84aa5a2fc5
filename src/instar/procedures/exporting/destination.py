"""Where an export goes: made in a hidden folder beside its place, and renamed when it is whole and compared."""

from __future__ import annotations

import fcntl
import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from instar.errors import RunError
from instar.files import explain_full_disk
from instar.procedures.exporting.load import is_hub
from instar.targets.manifest import MANIFEST

_PREFIX, _SUFFIX = ".export-", ".partial"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_OF_INSTAR = ("environment.json", MANIFEST)  # a run folder has the first, and a target store the second


def refuse_in_use(path: Path, *, is_folder: bool) -> None:
    """Refuse to replace what is not of the kind that is to be written; known before anything is made.

    Raises:
        RunError: names the path.
    """
    if _ADDRESS.match(str(path)):
        raise RunError(f"'{path}' is an address; name a file or folder of this machine with --out, and copy it there.")
    if "\0" in str(path):
        raise RunError(f"{str(path)!r} is no path that can be written; name another with --out.")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise RunError(f"'{path}' cannot be written, because '{above}' is not a folder.")
    if not os.path.lexists(path):
        return
    if is_folder:
        if not path.is_dir() or (any(path.iterdir()) and not is_hub(path)):
            raise RunError(f"'{path}' exists and is no empty folder; choose a new one.")
    elif path.is_dir():
        raise RunError(f"'{path}' is a folder; name the file to write.")
    elif not path.is_file():
        raise RunError(f"'{path}' is not a regular file; name another.")
    elif any((path.absolute().parent / name).is_file() for name in _OF_INSTAR):
        raise RunError(f"'{path}' belongs to a run folder or target store and is not replaced; name another file.")


@contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, which is removed at the end; so are those that killed exports left there.

    Folders on the way to `path` are made, and removed again where nothing was put into them.

    Raises:
        RunError: when nothing can be written there.
    """
    made: list[Path] = []
    with explain(path):
        for folder in reversed([path.parent, *path.parent.parents]):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                made.append(folder)
        _remove_abandoned(path.parent)
    try:
        with explain(path), _locked_folder(path.parent) as folder:
            yield folder
    finally:
        for parent in reversed(made):
            with suppress(OSError):  # it is not empty
                parent.rmdir()


@contextmanager
def explain(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a sentence about `path`."""
    try:
        with explain_full_disk(path):
            yield
    except (OSError, SafetensorError) as error:  # the latter has the system's words in its own
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RunError(f"'{path}' cannot be written: {reason}; name another place with --out.") from None


def put(made: Path, path: Path, *, is_folder: bool) -> None:
    """Rename what was made to its place. A folder that is there already must be the same, file by file.

    Raises:
        RunError: when another folder is there.
    """
    if not is_folder:
        made.replace(path)
        return
    path = path.resolve()  # a link to an empty folder stays a link
    if path.is_dir() and any(path.iterdir()):
        if not _are_alike(made, path):
            raise RunError(f"'{path}' exists and holds another export, or was edited; choose a new folder.")
        return
    made.chmod(0o777 & ~_umask())
    made.replace(path)


@contextmanager
def _locked_folder(parent: Path) -> Iterator[Path]:
    """Yield a folder under a lock, which the operating system lets go when this process dies."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=parent))
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.is_dir():  # another process may have taken it for abandoned before it was locked
            break
        os.close(handle)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of exports that were killed: nobody holds their lock."""
    for folder in parent.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _are_alike(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same content."""
    names = sorted(file.name for file in one.iterdir())
    if names != sorted(file.name for file in other.iterdir() if file.name[0] != "."):
        return False
    return filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
