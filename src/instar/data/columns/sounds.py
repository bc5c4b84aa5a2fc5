"""A column of the sound of recordings, decoded when it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.compute.inputs import Shape
from instar.data.in_order import map_in_order
from instar.data.sound import Wave, decode_sound

if TYPE_CHECKING:
    import datasets

WAVES = "waves"
"""Name of the column of sound beside the frames of recordings with a class each."""


@dataclass(frozen=True, eq=False)
class Sounds:
    """The sound of recordings: networks that read frames need none of it, so it is not kept but decoded again.

    It has no fingerprint, because the frames, which are made of it, have one.

    Args:
        decode: returns the sound of a recording by its number, float32 `[sound samples]`.
        count: number of recordings.
        rate: sampling rate in Hz of what `decode` returns.

    >>> found = Sounds([np.ones(3, np.float32), np.ones(1, np.float32)].__getitem__, 2, 8000).take(torch.tensor([1, 0]))
    >>> found["wave"].tolist(), found["length"].tolist(), found["rate"].tolist()
    ([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], [1, 3], [8000, 8000])
    """

    decode: Callable[[int], Wave]
    count: int
    rate: int

    @classmethod
    def of_rows(cls, rows: datasets.Dataset, column: str, kept: NDArray[np.int64], rate: int) -> Sounds:
        """Return the recordings of some rows, which have been decoded before.

        Args:
            rows: rows of a split, whose recordings are not decoded.
            column: column of the recordings.
            kept: rows that are samples, in order.
            rate: sampling rate in Hz to resample to.
        """
        values = rows.select_columns([column])
        return cls(lambda number: decode_sound(values[int(kept[number])][column], rate).wave, len(kept), rate)

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> Shape:
        """Shape of one recording: it has no axes of a fixed length."""
        return ()

    @property
    def dtype(self) -> str:
        """Type of the values."""
        return "sound"

    def take(self, ids: Tensor) -> dict[str, Tensor]:
        """Return sound with zeros at its end, float32 `[n, longest]`, lengths and rates, int64 `[n]`.

        Args:
            ids: numbers of the recordings, int64 `[n]` on the CPU.
        """
        waves = [torch.from_numpy(np.array(wave)) for wave in map_in_order(self.decode, ids.tolist())]
        return {
            "wave": torch.nn.utils.rnn.pad_sequence(waves, batch_first=True),
            "length": torch.tensor([len(wave) for wave in waves], dtype=torch.int64),
            "rate": torch.full((len(waves),), self.rate),
        }

    def select(self, ids: Tensor) -> Sounds:
        """Return a column of some of the recordings, numbered from 0."""
        numbers: Any = ids.tolist()
        return Sounds(lambda number: self.decode(numbers[number]), len(numbers), self.rate)
