"""Phases of a run: the run folders inside it whose weights its training began with.

runs/student/                  the last phase
runs/student/phases/1          the first phase
runs/student/phases/2          the second phase, which starts from the first
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instar.config import START_FROM_TEACHER

PHASES_FOLDER = "phases"
"""Folder in a run folder that holds its earlier phases."""

MAX_PHASES = 1000
"""Most phases of a training, so that a damaged number names no endless list of folders."""


def phase_folders(out: Path, count: int) -> list[Path]:
    """Return the run folders of phases in order; the last is the folder itself.

    >>> [path.as_posix() for path in phase_folders(Path("runs/a"), 3)]
    ['runs/a/phases/1', 'runs/a/phases/2', 'runs/a']
    """
    return [out / PHASES_FOLDER / str(number) for number in range(1, count)] + [out]


def earlier_phases(out: Path, start: Any) -> list[Path]:
    """Return the folders of the phases before the run in a folder, in order; none for a run without phases.

    Args:
        out: folder of the run, which may have been moved together with its phases.
        start: its setting `start`.

    >>> earlier_phases(Path("runs/a"), "runs/b")
    []
    """
    # another run may be called phases/1 too, so the folder must lie inside this one
    is_inside = isinstance(start, str) and Path(start).parent.name == PHASES_FOLDER
    name = Path(start).name if is_inside else ""
    is_number = name.isascii() and name.isdecimal() and len(name) <= len(str(MAX_PHASES))
    if not is_number or not (out / PHASES_FOLDER / name).is_dir():
        return []
    return phase_folders(out, int(name) + 1)[:-1]


def start_folder(config: Mapping[str, Any]) -> str | None:
    """Return the run folder whose weights a run began with; None if it began with others.

    >>> start_folder({"start": "runs/a"}), start_folder({"start": "teacher"})
    ('runs/a', None)
    """
    start = config.get("start")
    return None if not start or start == START_FROM_TEACHER else str(start)


def is_earlier_phase(folder: Path) -> bool:
    """Whether a run folder lies among the phases of another run."""
    out = folder.parent.parent
    return folder.parent.name == PHASES_FOLDER and folder.name.isdecimal() and (out / "config.json").is_file()
