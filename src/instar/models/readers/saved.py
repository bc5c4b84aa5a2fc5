"""What the reader of a run has learnt, in a file beside the description of its model."""

from __future__ import annotations

from instar.models.readers.reader import Reader
from instar.runs.documents import ModelFile, ReaderFile
from instar.runs.files import write_json
from instar.runs.run import Run

READER_FILE = "reader.json"
"""File of what the reader of a run has learnt from training samples."""


def save_knowledge(run: Run, reader: Reader) -> None:
    """Write what a reader has learnt; nothing for one that learns nothing."""
    # apart from model.json, which many commands read, and which a vocabulary would make slow to read
    if (knowledge := reader.knowledge()) is not None:
        write_json(run.path / READER_FILE, {"knowledge": knowledge})


def read_description(run: Run) -> ModelFile:
    """Return the description of the model of a run, with what its reader has learnt.

    Raises:
        RunError: when a file is missing or damaged.
    """
    described = run.document("model.json", ModelFile)
    if READER_FILE not in run.finished and not (run.path / READER_FILE).is_file():
        return described
    return described.model_copy(update={"knowledge": run.document(READER_FILE, ReaderFile).knowledge})
