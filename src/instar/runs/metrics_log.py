"""metrics.jsonl: the lines that a run appends while it trains, each with a checksum of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash
from pydantic_core import from_json

from instar.errors import RunError
from instar.runs.checksums import seal, unseal
from instar.runs.documents import MetricsLine, as_document
from instar.runs.files import explain_disk, to_json, write_whole


@dataclass(frozen=True)
class MetricsLog:
    """The file metrics.jsonl of a run.

    Args:
        path: the file, which need not exist.
        identity: hash of the run, which its lines are sealed with.
        sealed: whether each line must have a checksum.
        checksum: hash of the whole file in result.json; None: the run is not complete, or of an older version.
    """

    path: Path
    identity: str
    sealed: bool
    checksum: str | None

    def read(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the complete lines, each as text and as values; a last line that a kill cut short is left out.

        Raises:
            RunError: when any other line is damaged.
        """
        content = self.path.read_bytes() if self.path.exists() else b""
        if content and self.checksum is not None and self.checksum != xxhash.xxh3_128_hexdigest(content):
            raise RunError(f"'{self.path}' is damaged or belongs to another run: result.json names another checksum.")
        try:
            lines = content.decode().split("\n")[:-1]  # what follows the last line end was cut short
            parsed = [from_json(line) for line in lines]  # three times as fast as json.loads
            for number, values in enumerate(parsed, start=1):
                as_document(values, MetricsLine, f"{self.path}, line {number}")
            # plain dictionaries, because the garbage collector follows each object of a class of ours
            plain = [unseal(values, required=self.sealed, key=self.identity) for values in parsed]
        except RunError:
            raise
        except (ValueError, RecursionError) as error:
            raise RunError(f"'{self.path}' is damaged: {error}.") from None
        return list(zip(lines, plain, strict=True))

    def append(self, line: Mapping[str, Any]) -> None:
        """Append one line."""
        with explain_disk(self.path), self.path.open("a") as file:
            # sealed as it is read back; with the identity, so that a line of another run does not pass for one of this
            file.write(to_json(seal(json.loads(to_json(line)), self.identity)) + "\n")

    def count(self) -> int:
        """Return the number of lines."""
        return self.path.read_bytes().count(b"\n") if self.path.exists() else 0

    def forget_after(self, step: int) -> None:
        """Delete the lines after `step`, so that resuming does not write them twice."""
        # the text of the lines stays as it is, and so do their checksums
        kept = [line for line, values in self.read() if values["step"] <= step]
        text = "".join(f"{line}\n" for line in kept)
        write_whole(self.path, lambda temporary: temporary.write_text(text))
