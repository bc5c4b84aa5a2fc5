"""Folders of images or recordings: which files belong to which split and class, where names may mean several things."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instar.data.media_paths import MEDIA
from instar.errors import DataError, say

if TYPE_CHECKING:
    import datasets

FOLDER_READERS = {"imagefolder": "images", "audiofolder": "recordings"}
"""Readers of the library that use names of folders as classes, with what they read in the plural."""

UNREADABLE_SUFFIXES = {"images": (".heic", ".heif", ".jxl"), "recordings": (".m4a", ".aac", ".wma")}
"""Suffixes of files that the library leaves out, because Pillow and soundfile do not decode them."""


def refuse_shared_files(name: str, folder: Path, files: Mapping[str, Sequence[str]]) -> None:
    """Refuse files that belong to two splits, such as `train/test-tube/1.png`, which would be trained on and tested.

    Args:
        name: name of the data.
        folder: folder of the data.
        files: paths of the files by split.

    Raises:
        DataError: names the file and the splits.
    """
    owners: dict[str, str] = {}
    for split, paths in files.items():
        for path in paths:
            if (other := owners.setdefault(path, split)) != split:
                raise DataError(
                    f"'{_inside(folder, path)}' of '{name}' would be in the splits {other} and {split}, because two of "
                    "its folders are named like splits (train, validation, val, dev, test, eval, ...); rename one."
                )


def tell_unread_files(name: str, folder: Path, read: Iterable[str], others: Iterable[Path], kind: str) -> None:
    """Say on stderr how many files of a folder are not read, because they belong to no split or lie behind a link.

    If one name in a folder looks like a split, such as the class `train` of vehicles, all others belong to none.

    Args:
        name: name of the data.
        folder: folder of the data.
        read: paths of the files that are read.
        others: all paths in the folder.
        kind: "images" or "recordings".
    """
    known = {Path(path).resolve() for path in read}
    unread, links = [], []
    for path in others:
        if not _is_hidden(folder, path) and _is_media(path, kind) and not path.is_dir():
            unread += [] if path.resolve() in known else [path]
        elif path.is_symlink() and path.is_dir():
            links.append(path)
    for link in sorted(links):
        say(f"instar: the folder '{_inside(folder, link)}' of '{name}' is a link, and is not read; copy or move it.")
    unread.sort()
    if unread:
        say(
            f"instar: {len(unread):,} {kind} of '{name}' are not read, such as '{_inside(folder, unread[0])}'. They "
            "belong to no split, because names of other folders or files have words such as train, val and test; or "
            "they have a format that cannot be decoded, or are links to nothing."
        )


def refuse_merged_classes(splits: Mapping[str, datasets.Dataset], files: str, labels: str, name: str) -> None:
    """Refuse folders of one name in several places of a split, which would silently become one class.

    Args:
        splits: rows by split, whose labels are the names of the folders of their files.
        files: column of the images or recordings, which are not decoded.
        labels: column of the labels.
        name: name of the data.

    Raises:
        DataError: names two of the folders.
    """
    for split, rows in splits.items():
        places: dict[int, Path] = {}
        for file, label in zip(rows[files], rows[labels], strict=True):
            place = Path(file["path"]).parent
            if (other := places.setdefault(label, place)) != place:
                raise DataError(
                    f"the folders '{_inside(Path(name), other)}' and '{_inside(Path(name), place)}' of '{name}' "
                    f"({split}) have one name, and would be one class. Set data.classes to the names of all classes "
                    "if this is meant; otherwise put the files of each class into one folder of its name."
                )


def _is_media(path: Path, kind: str) -> bool:
    return MEDIA[kind](path) or path.suffix.lower() in UNREADABLE_SUFFIXES[kind]


def _is_hidden(folder: Path, path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)


def _inside(folder: Path, path: str | Path) -> str:
    path, folder = Path(path).absolute(), folder.absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
