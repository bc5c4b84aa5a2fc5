"""`instar verify-data`: hashes all bytes of the decoded copy of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from instar.checks import checked
from instar.config import DataConfig, validate
from instar.data.any_source import are_objects
from instar.data.hub import verify_copy
from instar.errors import ConfigError

_SECTION = "data."


@dataclass(frozen=True)
class VerifiedCopy:
    """A decoded copy whose files are what was written.

    Args:
        folder: folder of the copy.
        files: sizes of its files in bytes, by name.
    """

    folder: str
    files: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.folder}\n  {len(self.files)} files, {sum(self.files.values()):,} bytes: as they were written"


@checked
def verify_data(data: str | Path, *, settings: Mapping[str, Any] | None = None) -> VerifiedCopy:
    """Hash all bytes of the decoded copy of a data set in the cache, and compare them with the hashes of its writing.

    A start hashes files of at most 2 GiB, and larger ones only if their modification time has changed. This function
    hashes all of them.

    Args:
        data: Hugging Face Hub id, local folder or file of rows, as for `load_data`.
        settings: settings of the data by dotted name, such as `{"data.image_size": 32}`; each way to decode has a copy.

    Raises:
        DataError: when the data have no copy yet, or a file of it is not what was written; names the file.
        ConfigError: when a setting is not one of the data, or the data are never decoded.

    >>> verify_data("digits")
    Traceback (most recent call last):
    instar.errors.ConfigError: 'digits' has no decoded copy; expected a folder, a file of rows or a Hub id.
    """
    given = dict(settings or {})
    for name in given:
        if not name.startswith(_SECTION):
            raise ConfigError(f"'{name}' is no setting of the data; expected names such as data.image_size.")
    config = validate(
        DataConfig, {"source": str(data)} | {name.removeprefix(_SECTION): value for name, value in given.items()}
    )
    if config.source == "digits" or are_objects(config.source):
        raise ConfigError(f"'{config.source}' has no decoded copy; expected a folder, a file of rows or a Hub id.")
    folder, files = verify_copy(config)
    return VerifiedCopy(str(folder), files)
