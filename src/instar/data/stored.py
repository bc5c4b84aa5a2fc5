"""Inputs in the cache, and the values that were computed from them, kept in files beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import xxhash
from torch import Tensor

from instar.errors import InstarError, say
from instar.runs.files import read_tensors, write_tensors

MIN_STORED_BYTES = 1 << 20
"""Size of the inputs from which on values are kept: smaller inputs are read faster than a file is opened."""


@dataclass(frozen=True, eq=False)
class StoredInputs:
    """Inputs whose content is known by a checksum that was made when they were written, and verified since.

    Args:
        inputs: the inputs.
        folder: the copy in the cache.
        checksum: checksum of the inputs, with all settings that make them from the file.
        labels: labels that are made from the same file with the same settings, as those of text; None: there are none.
    """

    inputs: Tensor
    folder: Path
    checksum: str
    labels: Tensor | None = None

    def keep(
        self, name: str, depends_on: Mapping[str, Tensor | str | None], compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return values of these inputs: those that an earlier process kept, or new ones, which are kept.

        Args:
            name: what the values are, with a version that changes when their computation does.
            depends_on: everything except the inputs that the values depend on.
            compute: function that computes the values.
        """
        if self.inputs.nbytes < MIN_STORED_BYTES:
            return dict(compute())
        key = _hash_values({"name": name, "inputs": self.checksum, **depends_on})
        path = self.folder / f"{name}-{key}.safetensors"
        if os.path.lexists(path):
            try:
                values, header = read_tensors(path, sealed=True)
                if header.get("key") == key:  # otherwise it is another file under this name
                    return values
                say(f"instar: '{path}' has values of other data; they are computed again.")
            except InstarError:
                say(f"instar: '{path}' is damaged; its values are computed again.")
        values = dict(compute())
        with suppress(InstarError, OSError):  # a cache that is full or read-only costs time, and changes nothing
            write_tensors(path, values, {"key": key})
        return values


def _hash_values(values: Mapping[str, Tensor | str | None]) -> str:
    digest = xxhash.xxh3_128()
    for name, value in values.items():
        about = value if isinstance(value, str) else "" if value is None else f"{value.dtype}{list(value.shape)}"
        # lengths before the text, so that no two lists of values have the same bytes
        digest.update(f"{len(name)} {name} {value is None} {len(about)} {about}".encode())
        if isinstance(value, Tensor):
            digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
