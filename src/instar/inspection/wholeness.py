"""Reads every file of a run folder, and reports missing and damaged ones in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from instar.errors import ConfigError, InstarError, RunError
from instar.models.trained import load_model
from instar.runs.documents import DOCUMENTS, Document, read_document
from instar.runs.files import read_tensors
from instar.runs.rows import read_row
from instar.runs.run import Run
from instar.teachers.run_folders import ENSEMBLE, SPECIALISTS
from instar.training.checkpoint import read_checkpoint

STARTED_FILES = ("config.json", "environment.json")
"""Files of every run."""

COMPLETE_FILES = ("model.json", "weights.safetensors", "predictions.safetensors")
"""Files of a complete run; a run that combines several models has only the last one."""


@dataclass(frozen=True)
class FileState:
    """One file of a run folder.

    Args:
        name: name of the file.
        bytes: size in bytes; 0 if it is missing.
        problem: its problem in words, without a full stop; None if there is none.
    """

    name: str
    bytes: int
    problem: str | None = None


def check_files(folder: Path) -> list[FileState]:
    """Read every file of a run folder, and report those that are missing or damaged.

    NaN weights count as damage. Other files, such as `error.txt`, are only listed.
    """
    # hidden files are locks and what killed processes left
    here = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    run = _opened(folder)
    found = [FileState(path.name, path.stat().st_size, _problem(path, run)) for path in here]
    names = {state.name for state in found}
    wanted = list(STARTED_FILES)
    if "result.json" in names:
        wanted += COMPLETE_FILES[-1:] if _combines_models(folder) else COMPLETE_FILES
        wanted += run.finished if run else ()  # the files that the run ended with; empty in older formats
    return found + [FileState(name, 0, "it is missing") for name in dict.fromkeys(wanted) if name not in names]


def check_model(run: Run, *, trust: bool) -> tuple[str | None, str | None]:
    """Build the model of a run and load its weights.

    Returns:
        The problem of the weights, and a note if they could not be loaded for another reason; None for each if not.
    """
    try:
        load_model(run, trust=trust)
    except RunError as error:
        return _without_path(str(error), run.path), None
    except InstarError as error:  # the class is not trusted or not installed, so the folder is not damaged
        hint = " (--trust)" if isinstance(error, ConfigError) and not trust else ""
        return None, f"The weights were not loaded into the model{hint}: {error}"
    except (LookupError, TypeError) as error:  # arguments that the model does not take
        return f"model.json does not describe a model: {error!r}", None
    return None, None


def _opened(folder: Path) -> Run | None:
    try:
        run = Run(folder)
        _ = run.finished
    except RunError:  # config.json or result.json is damaged: then no file has a known checksum
        return None
    return run


def _problem(path: Path, run: Run | None) -> str | None:
    try:
        if path.suffix == ".json":
            kind = DOCUMENTS.get(path.name, Document)
            run.document(path.name, kind) if run and path.name in DOCUMENTS else read_document(path, kind)
        elif path.suffix == ".safetensors":
            tensors, _ = run.tensors(path.name) if run else read_tensors(path)
            # a model may predict NaN; -inf in weights may be a mask
            if path.stem in ("weights", "checkpoint", "best"):
                bad = [name for name, tensor in tensors.items() if tensor.isnan().any()]
                return f"'{bad[0]}' is NaN" if bad else None
        elif path.name == "metrics.jsonl" and run:
            run.history()
        if run and path == run.checkpoint:  # a whole file may still be of another run, or lack tensors
            read_checkpoint(run)
    except RunError as error:
        return _without_path(str(error), path)
    except (OSError, ValueError) as error:
        return f"it cannot be read: {' '.join(str(error).split())}"
    return None


def _without_path(sentence: str, path: Path) -> str:
    # the text becomes the second half of a line that begins with the name of the file
    return sentence.replace(f"the weights file '{path}'", "it").replace(f"'{path}'", "it").rstrip(".")


def _combines_models(folder: Path) -> bool:
    row = read_row(folder, folder.name)
    return row.state != "damaged" and row.config["model"]["name"] in (ENSEMBLE, SPECIALISTS)
