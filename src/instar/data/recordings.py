"""The sound of recordings, which the report plays; networks read only their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.int16]
"""Sound samples from -32768 to 32767."""


@dataclass(frozen=True, eq=False)
class Recordings:
    """The sound of several recordings.

    Args:
        waves: sound of all recordings, concatenated, int16 `[sound samples]`.
        starts: index of the first sample of each recording, and the end of the last one, int64 `[recordings + 1]`.
        rate: sampling rate in Hz.

    >>> Recordings(np.array([7, 8, 9], np.int16), np.array([0, 1, 3]), 8000).wave(1).tolist()
    [8, 9]
    """

    waves: Wave
    starts: NDArray[np.int64]
    rate: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def wave(self, number: int) -> Wave:
        """Return the sound of one recording, `[sound samples]`."""
        return self.waves[self.starts[number] : self.starts[number + 1]]

    def choose(self, numbers: Iterable[int], max_bytes: int) -> tuple[list[int], Recordings]:
        """Choose recordings that take at most `max_bytes` together, and return their numbers and their sound.

        Args:
            numbers: numbers of recordings in order of preference; duplicates are ignored, and a recording that does not
                fit is skipped.
            max_bytes: size limit of the sound in bytes.
        """
        chosen: list[int] = []
        for number in dict.fromkeys(numbers):
            size = self.wave(number).nbytes
            if size <= max_bytes:
                chosen.append(number)
                max_bytes -= size
        waves = [self.wave(number) for number in chosen]
        starts = np.cumsum([0, *map(len, waves)])
        empty = self.waves[:0]  # concatenate refuses an empty list
        return chosen, Recordings(np.concatenate([empty, *waves]), starts, self.rate)


@contextmanager
def recorder(folder: Path, split: str) -> Iterator[Callable[[NDArray[np.float32], int], None]]:
    """Yield a function that writes the recordings of a split one by one, so that memory does not grow with the data.

    Its arguments are the sound of one recording, `[sound samples]`, which is clipped to -1..1, and the sampling rate.

    Args:
        folder: folder of decoded data.
        split: name of the split.
    """
    starts: list[int] = [0]
    rates: set[int] = set()

    def write(wave: NDArray[np.float32], rate: int) -> None:
        # int16 halves the file, and 1.0 would be 32768, which it cannot hold
        file.write(np.rint(wave * 32768).clip(-32768, 32767).astype("<i2").tobytes())
        starts.append(starts[-1] + len(wave))
        rates.add(rate)

    with _waves(folder, split).open("wb") as file:
        yield write
    np.savez(_about(folder, split), starts=np.array(starts), rate=np.array(list(rates)))


def read_recordings(folder: Path, split: str) -> Recordings | None:
    """Return the memory-mapped recordings of a split; None if their sound was not stored."""
    if not _about(folder, split).is_file():
        return None
    with np.load(_about(folder, split), allow_pickle=False) as about:
        return Recordings(np.memmap(_waves(folder, split), "<i2", "r"), about["starts"], int(about["rate"][0]))


def _waves(folder: Path, split: str) -> Path:
    return folder / f"{split}-waves.pcm"


def _about(folder: Path, split: str) -> Path:
    return folder / f"{split}-waves.npz"
