"""The tokenizer of a model in one document, which travels with its weights."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from instar.errors import ConfigError, MismatchError, RunError
from instar.foreign import from_pretrained

TOKENIZER_FILE = "tokenizer_files.json"
"""File of a run folder with the files of the tokenizer that its data were read with."""

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
"""Files of which a folder has at least one if it has a tokenizer."""

_FILE_NAME = re.compile(r"[\w-][\w.-]*")  # no folder, because the document may be a stranger's


def copy_tokenizer(tokenizer: str) -> dict[str, str]:
    """Return the files of a tokenizer by name, with its chat template.

    Args:
        tokenizer: folder or Hub id.

    Raises:
        ConfigError: when it cannot be loaded, or a file is no text.
    """
    with tempfile.TemporaryDirectory() as folder:
        from_pretrained("AutoTokenizer", tokenizer, "the tokenizer").save_pretrained(folder)
        try:
            return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}
        except (UnicodeDecodeError, IsADirectoryError):
            raise ConfigError(
                f"the tokenizer '{tokenizer}' has files that are no text, so it cannot be kept."
            ) from None


def write_tokenizer(files: Mapping[str, str], folder: Path) -> None:
    """Write the files of a tokenizer into a folder.

    Raises:
        RunError: when a name is not that of a file.
    """
    for name, text in files.items():
        if not _FILE_NAME.fullmatch(name):
            raise RunError(f"the tokenizer has a file '{name:.40}', which is no name of a file in one folder.")
        (folder / name).write_text(text, encoding="utf-8")


@contextmanager
def tokenizer_folder(files: Mapping[str, str] | None, path: str) -> Iterator[str]:
    """Yield a folder or Hub id of a tokenizer: its kept files, or those of a model where none were kept.

    Args:
        files: result of `copy_tokenizer`; None: none were kept.
        path: folder or Hub id of the model.

    Raises:
        MismatchError: when the model's folder has no tokenizer.
    """
    if files is None:
        if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in TOKENIZER_FILES):
            raise MismatchError(f"model '{path}' has no tokenizer; train it with data.tokenizer, or give it tokens.")
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(files, Path(folder))
        yield folder
