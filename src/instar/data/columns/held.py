"""A column of tensors of one shape, held in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

INPUTS = "inputs"
"""Name of the column that views change, and that students read."""

NUMBERS = "numbers"
"""Name of the column of labels that are numbers."""

ROWS_PER_HASH = 65536
"""Rows that are hashed at once, because a mapped column may be larger than memory."""

MAX_EXACT_FLOAT32, MAX_EXACT_FLOAT64 = 1 << 24, 1 << 53
"""Largest whole numbers up to which float32 and float64 hold all of them exactly."""


@dataclass(frozen=True, eq=False)
class Held:
    """One tensor per sample.

    Args:
        values: `[samples, ...]`: uint8 are pixels 0..255, floats are numbers, other integers are tokens.
        exact: the same numbers, int64 `[samples]`, if they are whole and float32 rounds some of them, as it does long
            ids; no model reads them, and they are not part of the fingerprint. None: `values` hold them.

    >>> column = Held(torch.tensor([[0.5], [1.5], [2.5]]))
    >>> len(column), column.shape, column.take(torch.tensor([2, 0])).tolist()
    (3, (1,), [[2.5], [0.5]])
    """

    values: Tensor
    exact: Tensor | None = None

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


def find_exact(numbers: NDArray[Any], rounded: Tensor) -> Tensor | None:
    """Return whole numbers that float32 rounds, int64 `[samples]`; None if it rounds none, or they are not exact.

    Args:
        numbers: integers or float64 `[samples, 1]`.
        rounded: the values that are kept of them, `[samples, 1]`.

    >>> find_exact(np.array([[16777217.0], [5.0]]), torch.tensor([[16777216.0], [5.0]]))
    tensor([16777217,        5])
    """
    if rounded.dtype != torch.float32 or numbers.shape[1:] != (1,) or numbers.dtype.kind not in "iuf":
        return None
    largest = np.abs(numbers.astype(np.float64)).max(initial=0)
    if not largest > MAX_EXACT_FLOAT32:
        return None
    is_float = numbers.dtype.kind == "f"
    if is_float and (largest > MAX_EXACT_FLOAT64 or (numbers != np.floor(numbers)).any()):
        return None
    if not is_float and numbers.max() > np.iinfo(np.int64).max:
        return None
    return torch.from_numpy(numbers[:, 0].astype(np.int64))
