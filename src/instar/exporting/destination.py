"""Where an export goes: written to a hidden path beside its destination, and renamed once it is whole and compared."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from instar.errors import RunError
from instar.exporting.loading import holds_model
from instar.runs.files import explain_full_disk
from instar.runs.locks import whole
from instar.targets.manifest import MANIFEST_FILE

_INSTAR_FILES = ("environment.json", MANIFEST_FILE)  # a run folder has the first, and a target store the second


def refuse_in_use(path: Path, *, is_folder: bool) -> None:
    """Refuse a destination that an export must not replace, before anything is written.

    Raises:
        RunError: names the path.
    """
    # lexists, because a link to nothing is in the way as well
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise RunError(f"'{path}' cannot be written, because '{above}' is not a folder.")
    if not os.path.lexists(path):
        return
    if is_folder:
        # a folder with a model may be the same export; `new_export` compares it file by file
        if not path.is_dir() or (any(path.iterdir()) and not holds_model(path)):
            raise RunError(f"'{path}' exists and is not an empty folder; choose a new one.")
    elif path.is_dir():
        raise RunError(f"'{path}' is a folder; give the path of a file to write.")
    elif not path.is_file():
        raise RunError(f"'{path}' is not a regular file; choose another path.")
    elif any((path.absolute().parent / name).is_file() for name in _INSTAR_FILES):
        raise RunError(f"'{path}' belongs to a run folder or target store and is not replaced; choose another path.")


@contextmanager
def new_export(path: Path) -> Iterator[Path]:
    """Yield a temporary path for an export, and rename it to `path` at the end, whole or not at all.

    Leftovers of killed exports beside it are removed, and so are new parent folders if the export fails. An existing
    folder must hold the same export, file by file.

    Raises:
        RunError: if the export cannot be written there, or another folder is there.
    """
    path = path.resolve() if path.is_dir() else path  # a link to an empty folder stays a link
    made: list[Path] = []
    try:
        with explain_full_disk(path):
            for folder in reversed(path.absolute().parents):
                if not folder.exists():
                    folder.mkdir(exist_ok=True)  # another export may make it at the same time
                    made.append(folder)
            with whole(path, when_taken=lambda made: _refuse_another(made, path)) as partial:
                yield partial
    except (OSError, SafetensorError) as error:  # a SafetensorError quotes the error of the system
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RunError(f"'{path}' cannot be written: {reason}; choose another path with --out.") from None
    finally:
        for parent in reversed(made):
            with suppress(OSError):  # it is not empty: the export is there
                parent.rmdir()


def _refuse_another(made: Path, path: Path) -> None:
    # a rename replaces no folder with files in it, so a folder can only be the same export
    names = sorted(file.name for file in made.iterdir())
    theirs = sorted(file.name for file in path.iterdir() if file.name[0] != ".")
    if names != theirs or filecmp.cmpfiles(made, path, names, shallow=False)[0] != names:
        raise RunError(f"'{path}' holds another export, or was edited; choose a new folder.")
