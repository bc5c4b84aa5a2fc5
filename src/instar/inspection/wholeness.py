"""Whether the files of a run folder are whole: each is read, and what is wrong with it said in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from instar.errors import ConfigError, InstarError, RunError
from instar.models import load_model
from instar.runs.documents import DOCUMENTS, Document, read_document
from instar.runs.files import read_tensors
from instar.runs.rows import read_row
from instar.runs.run import Run
from instar.teachers import ENSEMBLE, SPECIALISTS
from instar.training.checkpoint import read_checkpoint

ALWAYS = ("config.json", "environment.json")
"""Files that a run has from its start."""

AT_THE_END = ("model.json", "weights.safetensors", "predictions.safetensors")
"""Files that a complete run has; one that stands for several models has the last one alone."""


@dataclass(frozen=True)
class FileState:
    """One file of a run folder.

    Args:
        name: of the file.
        bytes: its size; 0 where it is missing.
        problem: what is wrong with it, without a full stop; none where nothing is.
    """

    name: str
    bytes: int
    problem: str | None = None


def check_files(folder: Path) -> list[FileState]:
    """Read every file of a run folder, and name those that are missing or damaged.

    No weight may be NaN; -inf may be a mask. What other formats hold, such as `error.txt`, is not looked at.
    """
    here = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    run = _opened(folder)
    found = [FileState(path.name, path.stat().st_size, _problem(path, run)) for path in here]
    names = {state.name for state in found}
    wanted = list(ALWAYS)
    if "result.json" in names:
        wanted += AT_THE_END[-1:] if _stands_for_several(folder) else AT_THE_END
        wanted += run.finished if run else ()
    return found + [FileState(name, 0, "it is missing") for name in dict.fromkeys(wanted) if name not in names]


def check_model(run: Run, *, trust: bool) -> tuple[str | None, str | None]:
    """Build the model of a run and lay its weights into it.

    Returns:
        What is wrong with the weights, and why they could not be tried; none where nothing is.
    """
    try:
        load_model(run, trust=trust)
    except RunError as error:
        return _without_path(str(error), run.path), None
    except InstarError as error:  # its class is not trusted, or not there: nothing that the folder can help
        hint = " (--trust)" if isinstance(error, ConfigError) and not trust else ""
        return None, f"The weights were not laid into the model{hint}: {error}"
    except (LookupError, TypeError) as error:
        return f"model.json does not describe a model: {error!r}", None
    return None, None


def _opened(folder: Path) -> Run | None:
    """Return the run, where its configuration and its result tell which files must have checksums, and which."""
    try:
        run = Run(folder)
        _ = run.finished
    except RunError:  # which is said of those files
        return None
    return run


def _problem(path: Path, run: Run | None) -> str | None:
    try:
        if path.suffix == ".json":
            kind = DOCUMENTS.get(path.name, Document)
            run.document(path.name, kind) if run and path.name in DOCUMENTS else read_document(path, kind)
        elif path.suffix == ".safetensors":
            tensors, _ = run.tensors(path.name) if run else read_tensors(path)
            if path.stem in ("weights", "checkpoint", "best"):
                bad = [name for name, tensor in tensors.items() if tensor.isnan().any()]
                return f"'{bad[0]}' is NaN" if bad else None
        elif path.name == "metrics.jsonl" and run:
            run.history()
        if run and path == run.checkpoint:
            read_checkpoint(run)
    except RunError as error:
        return _without_path(str(error), path)
    except (OSError, ValueError) as error:
        return f"it cannot be read: {' '.join(str(error).split())}"
    return None


def _without_path(sentence: str, path: Path) -> str:
    """Return an error's words about a file or folder without its path, and without the full stop."""
    return sentence.replace(f"the weights file '{path}'", "it").replace(f"'{path}'", "it").rstrip(".")


def _stands_for_several(folder: Path) -> bool:
    row = read_row(folder, folder.name)
    return row.state != "damaged" and row.config["model"]["name"] in (ENSEMBLE, SPECIALISTS)
