"""A column of tensors of one shape, held in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

INPUTS = "inputs"
"""Name of the column that views change, and that students read."""

ROWS_PER_HASH = 65536
"""Rows that are hashed at once, because a mapped column may be larger than memory."""


@dataclass(frozen=True, eq=False)
class Held:
    """One tensor per sample.

    Args:
        values: `[samples, ...]`: uint8 are pixels 0..255, floats are numbers, other integers are tokens.

    >>> column = Held(torch.tensor([[0.5], [1.5], [2.5]]))
    >>> len(column), column.shape, column.take(torch.tensor([2, 0])).tolist()
    (3, (1,), [[2.5], [0.5]])
    """

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor of one sample."""
        return tuple(self.values.shape[1:])

    @property
    def dtype(self) -> str:
        """Type of the values, such as "uint8"."""
        return str(self.values.dtype).removeprefix("torch.")

    def take(self, ids: Tensor) -> Tensor:
        """Return the rows of these samples, `[n, ...]`; ids are int64 `[n]` on the CPU."""
        return self.values.index_select(0, ids)

    def fingerprint(self) -> str:
        """Return a hash of shape, dtype and values."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # cached, because it reads all values, which never change
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([list(self.values.shape), str(self.values.dtype)]).encode())
        for part in self.values.split(ROWS_PER_HASH):
            digest.update(part.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()
